"""The report's pictures, as plotly figures: what a person would rather see than read."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from zhitou.core.units import MICROS
from zhitou.loop.s4_train import METRICS, Standing
from zhitou.loop.study import ROUND_2, Line

INK, OURS, OTHERS, GRID = "#1c2430", "#0b6e4f", "#8a94a6", "#e4e6ea"
FONT = {"family": "system-ui, sans-serif", "size": 13, "color": INK}


def html(figure: go.Figure) -> str:
    """The figure as a piece of a page that carries plotly itself elsewhere."""
    text: str = figure.to_html(full_html=False, include_plotlyjs=False, config={"displayModeBar": False})
    return text


def policies(lines: list[Line]) -> go.Figure:
    """Lift of CTR and of conversions over popular, with intervals, one row a policy."""
    figure = _figure("lift over popular", height=320)
    for name, words, shift in (("ctr_lift", "CTR", 0.14), ("cvr_lift", "conversions", -0.14)):
        shown = [line for line in lines if line.policy != "popular"]
        lifts = [getattr(line, name) for line in shown]
        figure.add_trace(
            go.Scatter(
                x=[100 * e.value for e in lifts],
                y=[i + shift for i in range(len(shown))],
                error_x={
                    "array": [100 * (e.high - e.value) for e in lifts],
                    "arrayminus": [100 * (e.value - e.low) for e in lifts],
                },
                mode="markers",
                marker={"size": 9, "symbol": "circle" if name == "ctr_lift" else "diamond"},
                name=words,
            )
        )
    figure.update_yaxes(tickvals=list(range(len(shown))), ticktext=[line.policy for line in shown])
    figure.update_xaxes(title="% against popular, 95 % interval over worlds", zeroline=True, zerolinecolor=INK)
    return figure


def next_basket(standings: tuple[Standing, ...]) -> go.Figure:
    """Recall and NDCG of every model on the next basket, all items and new ones."""
    figure = _figure("next basket: interest model and baselines", height=340)
    names = [s.name for s in standings]
    for scope in ("everything", "new"):
        for metric in METRICS:
            values = [getattr(s, scope)[metric] for s in standings]
            figure.add_trace(
                go.Bar(
                    x=names,
                    y=[v.mean for v in values],
                    error_y={
                        "array": [v.high - v.mean for v in values],
                        "arrayminus": [v.mean - v.low for v in values],
                    },
                    name=f"{metric}, {'all items' if scope == 'everything' else 'items new to the shopper'}",
                )
            )
    figure.update_layout(barmode="group")
    return figure


def spend(
    by_hour: np.ndarray, names: list[str], budgets_micros_daily: np.ndarray, days: int, currency: str
) -> go.Figure:
    """Cumulative spend over the hours of an average reported day, of the campaigns that spend most."""
    daily = by_hour.reshape(len(by_hour), days, 24).mean(axis=1)
    share = np.cumsum(daily, axis=1) / np.maximum(1, budgets_micros_daily)[:, None]
    figure = _figure(f"spend over the day, share of the daily budget ({currency})", height=340)
    for row in np.argsort(-daily.sum(axis=1), kind="stable")[:8]:
        label = f"{names[row]} ({budgets_micros_daily[row] / MICROS:,.2f} a day)"
        figure.add_trace(go.Scatter(x=list(range(24)), y=(100 * share[row]).tolist(), mode="lines", name=label))
    figure.update_xaxes(title="hour, UTC")
    figure.update_yaxes(title="% of daily budget", rangemode="tozero")
    return figure


def calibration(predicted: np.ndarray, clicked: np.ndarray, bins: int = 10) -> go.Figure:
    """Predicted against observed click rate in bins of equal size; on the line is calibrated."""
    order = np.argsort(predicted, kind="stable")
    parts = [p for p in np.array_split(order, bins) if len(p)]
    x = np.asarray([predicted[p].mean() for p in parts])
    y = np.asarray([clicked[p].mean() for p in parts])
    error = 1.96 * np.sqrt(np.maximum(y * (1 - y), 1e-12) / [len(p) for p in parts])
    figure = _figure("pCTR against what was clicked (second round, shown ads)", height=340)
    figure.add_trace(
        go.Scatter(
            x=100 * x, y=100 * y, error_y={"array": 100 * error}, mode="markers", name="tenths of the shown ads"
        )
    )
    top = 100 * float(max(x.max(), y.max()))
    figure.add_trace(go.Scatter(x=[0, top], y=[0, top], mode="lines", line={"color": OTHERS}, name="calibrated"))
    figure.update_xaxes(title="predicted, %")
    figure.update_yaxes(title="clicked, %")
    return figure


def training(curve: tuple[tuple[int, float, float | None], ...]) -> go.Figure:
    """Training and validation loss by epoch; the validation slice is later than all it was trained on."""
    figure = _figure("interest model: loss by epoch", height=300)
    epochs = [e for e, _, _ in curve]
    figure.add_trace(go.Scatter(x=epochs, y=[t for _, t, _ in curve], mode="lines+markers", name="training"))
    later = [(e, v) for e, _, v in curve if v is not None]
    if later:
        figure.add_trace(
            go.Scatter(x=[e for e, _ in later], y=[v for _, v in later], mode="lines+markers", name="later slice")
        )
    figure.update_xaxes(title="epoch", dtick=1)
    figure.update_yaxes(title="nats a next item")
    return figure


def headroom(lines: list[Line]) -> go.Figure:
    """How far each policy got from random (0) to the oracle (100)."""
    figure = _figure("share of the oracle's headroom in true click rate", height=280)
    figure.add_trace(
        go.Bar(
            x=[line.policy for line in lines],
            y=[100 * line.headroom.value for line in lines],
            error_y={"array": [100 * (line.headroom.high - line.headroom.value) for line in lines]},
            marker_color=[OURS if line.policy == ROUND_2 else OTHERS for line in lines],
        )
    )
    figure.update_yaxes(title="% of the way from random to oracle")
    return figure


def _figure(title: str, height: int) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        title={"text": title, "x": 0, "font": {"size": 15}},
        height=height,
        margin={"l": 60, "r": 20, "t": 44, "b": 50},
        font=FONT,
        paper_bgcolor="white",
        plot_bgcolor="white",
        legend={"orientation": "h", "y": -0.22},
        colorway=[OURS, "#d1495b", "#30638e", "#edae49", "#6d597a", "#00798c", "#8a94a6", "#b56576"],
    )
    figure.update_xaxes(gridcolor=GRID)
    figure.update_yaxes(gridcolor=GRID)
    return figure
