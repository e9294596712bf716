"""CatBoost on the folder of bench/peers/click_folder.py.

    python3.11 -m venv catboost && catboost/bin/pip install -r bench/peers/requirements-catboost.txt
    catboost/bin/python bench/peers/catboost_clicks.py DATA OUT

Runs in an environment of its own and imports nothing of zhitou. Categories are given as categories, numbers raw, NaN
as CatBoost takes it; a history is not read. Four settings (depth, learning rate), each stopped where the log loss of
valid has not fallen for 50 trees. Row order is time's, and CatBoost is told so (has_time), so that its target
statistics look back only.
"""

from __future__ import annotations

from typing import Any

from click_folder import arguments, choose, read, write

SETTINGS = [
    {"depth": 6, "learning_rate": 0.1},
    {"depth": 8, "learning_rate": 0.1},
    {"depth": 6, "learning_rate": 0.03},
    {"depth": 4, "learning_rate": 0.1},
]
ARGS = arguments(__doc__, len(SETTINGS))

import numpy as np  # noqa: E402
from catboost import CatBoostClassifier, FeaturesData, Pool  # noqa: E402


def pool(split: Any) -> Pool:
    """A split as CatBoost reads it: categories as bytes."""
    data = FeaturesData(
        num_feature_data=np.ascontiguousarray(split.numeric) if split.numeric.shape[1] else None,
        cat_feature_data=np.asarray(split.categorical).astype("S").astype(object),
    )
    return Pool(data, label=np.asarray(split.label))


def main() -> None:
    """Learn, choose, predict, write."""
    folder = read(ARGS.data)
    train, valid, test = (pool(split) for split in (folder.train, folder.valid, folder.test))

    def fit(setting: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        model = CatBoostClassifier(
            iterations=100 * ARGS.epochs,
            early_stopping_rounds=50,
            thread_count=ARGS.threads,
            random_seed=ARGS.seed,
            has_time=True,
            allow_writing_files=False,
            verbose=False,
            **setting,
        )
        model.fit(train, eval_set=valid)
        return model.predict_proba(valid)[:, 1], model.predict_proba(test)[:, 1]

    predicted, told = choose(SETTINGS[: ARGS.settings], fit, folder.valid.label)
    write(ARGS.out, "CatBoost", ("catboost", "numpy"), ARGS, predicted, told)


if __name__ == "__main__":
    main()
