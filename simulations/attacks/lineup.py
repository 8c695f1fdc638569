"""Which attacks by members are played, and against which defences of the coordinator."""

import math
from dataclasses import replace

from shared.aggregation import Aggregation
from simulations.attacks import forged, hostile
from simulations.attacks.ring import Attack, Defence

STATIONS, HOSTILE, SYBILS = 12, 3, 9
LIARS = frozenset({"JFK-B6", "LGA-MQ", "JFK-AA"})
"""A large station and two small ones: a quarter of the fleet, and as many as twelve devices let Krum withstand."""

TRIMMED = Aggregation(kind="trimmed-mean", assumed_byzantine=HOSTILE)
SHIPPED = Defence(name="shipped")
DEFENCES = (
    Defence(name="no checks", checked=False),
    SHIPPED,
    Defence(name="norm bound", aggregation=Aggregation(kind="norm-bound", assumed_byzantine=HOSTILE)),
    Defence(name="trimmed", aggregation=TRIMMED),
    Defence(name="median", aggregation=Aggregation(kind="median", assumed_byzantine=HOSTILE)),
    Defence(name="geo. median", aggregation=Aggregation(kind="geometric-median", assumed_byzantine=HOSTILE)),
    Defence(name="multi-Krum", aggregation=Aggregation(kind="multi-krum", assumed_byzantine=HOSTILE)),
    Defence(name="by owner", aggregation=replace(TRIMMED, by_owner=True)),
)

HONEST = Attack(name="nobody lies", aim="nothing")
LIES = (
    Attack(name="label flip", aim="accuracy", lie=hostile.flip_labels),
    Attack(name="sign flip", aim="accuracy", lie=hostile.flip_sign),
    Attack(name="model replacement", aim="accuracy", lie=hostile.replace_model),
    Attack(name="replacement within the bound", aim="accuracy", lie=hostile.replace_model_within),
    Attack(name="hidden in the noise", aim="accuracy", lie=hostile.hide_in_noise),
    Attack(name="backdoor trigger", aim="backdoor", lie=hostile.plant_backdoor),
    Attack(name="free rider: noise alone", aim="accuracy", lie=hostile.ride_free),
    Attack(name="free rider: an old update", aim="accuracy", lie=hostile.ride_on_the_past),
    Attack(name=f"{SYBILS} sybils of one owner", aim="accuracy", lie=hostile.replace_model_within, sybils=SYBILS),
)
FORGERIES = (
    Attack(name="NaN", aim="entry", forge=forged.all_values(math.nan)),
    Attack(name="infinite", aim="entry", forge=forged.all_values(math.inf)),
    Attack(name="1e308", aim="entry", forge=forged.huge),
    Attack(name="1e30", aim="entry", forge=forged.all_values(1e30)),
    Attack(name="zero", aim="entry", forge=forged.all_values(0.0)),
    Attack(name="wrong shape", aim="entry", forge=forged.one_too_many),
    Attack(name="wrong type", aim="entry", forge=forged.of_doubles),
    Attack(name="wrong key", aim="entry", forge=forged.under_another_key),
    Attack(name="no report", aim="entry", forge=forged.without_a_report),
    Attack(name="stale round", aim="entry", forge=forged.of_the_round_before),
    Attack(name="replayed reply", aim="entry", forge=forged.replayed),
    Attack(name="duplicate reply", aim="entry", echo=True),
)
