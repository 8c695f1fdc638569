"""The operator's side: plans rounds, keeps model versions, signs releases, shows it all in a terminal."""
