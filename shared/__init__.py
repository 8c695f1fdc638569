"""What the server and the client say to each other."""

import os

# ONNX Runtime keeps a device's id and sends how it is used to its maker, unless it is told not to before it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
