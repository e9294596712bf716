"""obp 0.4.1's own estimators on the rows of bench/ope_obp.py.

    python bench/peers/obp_estimators.py ROWS.npz

Runs in an environment of its own (requirements-obp.txt). Prints one JSON object: each estimator's value, and the CPU
seconds of its five basic ones together, median of 7, values only. obp imports torch for tensors that are not used
here, so an empty module stands in for it.
"""

from __future__ import annotations

import json
import sys
import time
import types

import numpy as np

# bare types for the annotations and base classes that obp names while it is imported
_empty = {name: type(name, (), {}) for name in ("Tensor", "Module", "Optimizer", "Dataset", "DataLoader")}
for _name in ("torch", "torch.nn", "torch.optim", "torch.utils", "torch.utils.data"):
    sys.modules[_name] = types.ModuleType(_name)
    sys.modules[_name].__dict__.update(_empty)
    if "." in _name:
        setattr(sys.modules[_name.rpartition(".")[0]], _name.rpartition(".")[2], sys.modules[_name])

from obp.ope import (  # noqa: E402
    DirectMethod,
    DoublyRobust,
    DoublyRobustWithShrinkage,
    InverseProbabilityWeighting,
    SelfNormalizedDoublyRobust,
    SelfNormalizedInverseProbabilityWeighting,
    SlateIndependentIPS,
    SlateRewardInteractionIPS,
    SlateStandardIPS,
    SwitchDoublyRobust,
)


def main() -> None:
    """Estimate and print."""
    arrays = np.load(sys.argv[1])
    rows = len(arrays["reward"])
    given = {
        "reward": arrays["reward"],
        "action": arrays["action"],
        "position": np.zeros(rows, dtype=int),
        "pscore": arrays["propensity"],
        "action_dist": arrays["target"][:, :, None],
        "estimated_rewards_by_reg_model": arrays["expected"][:, :, None],
    }
    five = {
        "ips": InverseProbabilityWeighting(),
        "snips": SelfNormalizedInverseProbabilityWeighting(),
        "dm": DirectMethod(),
        "dr": DoublyRobust(),
        "sndr": SelfNormalizedDoublyRobust(),
    }
    others = {
        "switch-dr": SwitchDoublyRobust(tau=float(arrays["threshold"])),
        "dros": DoublyRobustWithShrinkage(lambda_=float(arrays["shrinkage"])),
    }
    spent = []
    for _ in range(7):
        begin = time.process_time()
        values = {name: estimator.estimate_policy_value(**given) for name, estimator in five.items()}
        spent.append(time.process_time() - begin)
    values |= {name: estimator.estimate_policy_value(**given) for name, estimator in others.items()}
    values |= slates(arrays)
    print(json.dumps({"values": {k: float(v) for k, v in values.items()}, "five_cpu_s": float(np.median(spent))}))


def slates(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """sips, iips and rips of three slots."""
    count, slots = arrays["slate_reward"].shape
    logged, target = arrays["slate_propensity"], arrays["slate_target"]
    common = {
        "slate_id": np.repeat(np.arange(count), slots),
        "reward": arrays["slate_reward"].ravel(),
        "position": np.tile(np.arange(slots), count),
    }

    def last(p: np.ndarray) -> np.ndarray:
        return np.repeat(p.prod(1), slots)

    return {
        "sips": SlateStandardIPS(len_list=slots).estimate_policy_value(
            **common, pscore=last(logged), evaluation_policy_pscore=last(target)
        ),
        "iips": SlateIndependentIPS(len_list=slots).estimate_policy_value(
            **common,
            pscore_item_position=logged.ravel(),
            evaluation_policy_pscore_item_position=target.ravel(),
        ),
        "rips": SlateRewardInteractionIPS(len_list=slots).estimate_policy_value(
            **common,
            pscore_cascade=logged.cumprod(1).ravel(),
            evaluation_policy_pscore_cascade=target.cumprod(1).ravel(),
        ),
    }


if __name__ == "__main__":
    main()
