"""How far each method comes on scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from hybridopt import Arm, Profile, Results
from hybridopt.study.comparing import Compared
from hybridopt_reproductions.claims import (
    Claim,
    ClaimsStudy,
    Finding,
    accuracies,
    dots_of,
    forwards_of,
    rule_of,
    shown,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORWARDS = 1e7
REACH: Mapping[str, tuple[float, float, tuple[str, ...]]] = {  # method -> accuracy that is claimed, forwards, overrides
    "adam": (0.955, 2e5, ("dataset.batch_size=64",)),
    "ensemble_kalman_inversion": (0.965, FORWARDS, ("dataset.batch_size=64", "dataset.val_fraction=0.02")),
    "ensemble_kalman_filter": (0.92, FORWARDS, ("dataset.batch_size=64", "strategy.ensemble=500")),
    "mezo": (0.955, FORWARDS, ()),
    "openai_es": (0.955, FORWARDS, ()),
    "forward_gradient": (0.955, FORWARDS, ()),
    "genetic_algorithm": (0.95, FORWARDS, ()),
    "deep_ga": (0.92, FORWARDS, ()),
    "particle_swarm": (0.88, FORWARDS, ()),
    "simulated_annealing": (0.87, FORWARDS, ()),
    "extreme_learning_machine": (0.975, 1200, ("model=random_features",)),
    "cool_momentum": (0.95, 6.5e4, ("model.hidden=[64]", "dataset.batch_size=32")),
    "edge_popup": (0.95, 1.3e5, ("model.hidden=[256,256]", "dataset.batch_size=64")),
    "learned_supermask": (0.93, 1.3e5, ("model.hidden=[256,256]", "dataset.batch_size=64")),
}
CLAIMS = {
    name: Claim((name,), f"the median test accuracy on digits is at least {wanted:g}, after {forwards:,.0f} forwards")
    for name, (wanted, forwards, _) in REACH.items()
}


class DigitsAccuracy(ClaimsStudy):
    """Fourteen methods on digits, each by the settings with which it is shown, in at most 1e7 forwards.

    The network is 64-32-10 where nothing else is said, and settings are the methods' defaults or those of the
    overrides; nothing is tuned here, for what is claimed is claimed of these. The claim on ensemble Kalman inversion
    is from runs with nearly all but the test samples in training, and is repeated so.
    """

    claim = "Methods come as far on digits as is said of them, by the settings with which they are shown."
    claims = CLAIMS
    rule = rule_of(CLAIMS)
    profiles = {
        "smoke": Profile(seeds=1, minutes=0.1, sizes={"methods": ["adam", "cool_momentum"], "share": 0.1}),
        "docs": Profile(seeds=5, minutes=6, sizes={"methods": list(REACH), "share": 1.0}),
        "full": Profile(seeds=20, minutes=24, sizes={"methods": list(REACH), "share": 1.0}),
    }

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        made = {}
        for name in profile.sizes["methods"]:
            _, forwards, overrides = REACH[name]
            made[name] = Arm((f"strategy={name}", *overrides, f"budget.forwards={forwards * profile.sizes['share']:g}"))
        return made

    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        for name, (wanted, _, _) in REACH.items():
            if found := accuracies(results, name):
                yield Finding(CLAIMS[name], shown(found), median(found) >= wanted, forwards_of(results, name))

    def draw(self, results: Results) -> Figure | None:
        return dots_of({name: accuracies(results, name) for name in REACH if name in results.arms}, "test accuracy")
