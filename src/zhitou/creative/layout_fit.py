"""Learning layouts from layouts: which exemplar to trust for which element, and how to move its boxes.

Each training layout is looked up among the others, as a new one will be. Two things are learned together: the
log-weights of its exemplars (towards those whose boxes fit the truth best) and a VAE-GAN whose samples may be chosen
beside the exemplars. Same corpus, config and chance: same layouts.

N, Q = layouts, E = exemplars of each, P = places, n = elements of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.creative.layout_net import Condition, Critic, LayoutNet, NetSize, Posterior, box_loss
from zhitou.creative.layout_retrieval import Candidates, Retriever, Slots, choose, paired, runs_of
from zhitou.evaluation.layouts_match import box_iou

REAL_SLOPE = 10.0  # the weight of the WGAN gradient penalty (Gulrajani et al. 2017)
LONGEST_STEP = 1.0  # of the gradient's norm
CRITIC_EVERY = 2  # steps; every step took three times as long as no critic at all


@dataclass(frozen=True)
class LayoutConfig:
    """How to learn and to decide. exemplars: E. near: a candidate `near` further away is e times less likely, before
    anything is learned. overlap_price: IoU that one more overlapped element must bring. sharpness: IoU by which a
    candidate must be better to be e times more wanted. trust: how literally the learned log-weights are taken.
    samples: of the VAE-GAN, put beside the exemplars; 0 leaves it out. reconstruct, adversarial: weights of the VAE's
    and of the critic's loss, 0 switches one off.
    """

    exemplars: int = 12
    near: float = 0.7
    overlap_price: float = 0.06
    epochs: int = 10
    batch: int = 64
    learning_rate: float = 2e-3
    sharpness: float = 0.05
    trust: float = 1.5
    samples: int = 4
    reconstruct: float = 1.0
    adversarial: float = 0.02
    likeness: float = 0.1
    width: int = 48


@dataclass(frozen=True)
class LayoutModel:
    """A fitted generator. figures: what training ended with."""

    retriever: Retriever
    net: LayoutNet
    config: LayoutConfig
    figures: dict[str, float] = field(default_factory=dict, compare=False)

    def make(self, queries: Slots, chance: Chance) -> np.ndarray:
        """float64 [Q, P, 4]: boxes for the elements of each query, whose own boxes are never read."""
        found = self.retriever.candidates(queries, self.config.exemplars)
        given = condition(queries, found, agreed(queries, found, self.config))
        samples, weight = self._read(given, chance, self.config.samples)
        out = np.zeros_like(queries.boxes)
        for q in range(len(queries)):
            n = int(queries.present[q].sum())
            options = np.concatenate([found.boxes[q, :, :n], samples[q, :, :n]])
            trust = np.concatenate([weight[q, :, :n], np.zeros((samples.shape[1], n))])
            out[q, :n] = choose(options, queries.kinds[q, :n], trust, self.config.overlap_price)
        return out

    def move(self, queries: Slots, chance: Chance) -> np.ndarray:
        """float64 [Q, P, 4]: one sample of the VAE-GAN alone, without any choice: what the choice is worth is the
        difference to `make`."""
        found = self.retriever.candidates(queries, self.config.exemplars)
        given = condition(queries, found, agreed(queries, found, self.config))
        return self._read(given, chance, 1)[0][:, 0] * queries.present[..., None]

    @torch.no_grad()
    def _read(self, given: Condition, chance: Chance, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """(samples float64 [Q, S, P, 4], how likely each exemplar is for each place float64 [Q, E, P])."""
        self.net.eval()
        draw = chance.stream("layouts")
        count, latent = len(given.kinds), self.net.size.latent
        made = []
        for _ in range(max(samples, 1)):
            z = torch.from_numpy(draw.standard_normal((count, latent)).astype(np.float32))
            boxes, whole, local = self.net(given, z)
            made.append(boxes.numpy().astype(np.float64))
        trust = torch.softmax((whole[:, :, None] + local) * self.config.trust, 1).numpy().astype(np.float64)
        return np.stack(made, 1)[:, :samples], trust


@dataclass(frozen=True)
class Lesson:
    """given, and of it the truth: boxes float32 [N, P, 4] in the anchor's order, fit float32 [N, E, P], the mean IoU
    of an exemplar's boxes of the place's kind. retriever: of the corpus."""

    retriever: Retriever
    given: Condition
    boxes: Tensor
    fit: Tensor


def fit_layouts(corpus: Slots, config: LayoutConfig, chance: Chance) -> LayoutModel:
    """The generator learned from these layouts alone. Refused (ConfigError): fewer layouts than one batch."""
    return learn_layouts(lesson_of(corpus, config), config, chance)


def lesson_of(corpus: Slots, config: LayoutConfig) -> Lesson:
    """Each layout looked up among the others: what fits of one corpus share (`exemplars`, `near` and `overlap_price`
    of the config are read)."""
    if len(corpus) < config.batch:
        raise ConfigError(f"learning layouts needs at least a batch of {config.batch} of them, got {len(corpus)}")
    retriever = Retriever(corpus)
    found = retriever.candidates(corpus, config.exemplars, np.arange(len(corpus)))
    anchor = agreed(corpus, found, config)
    return Lesson(retriever, condition(corpus, found, anchor), *_truth(corpus, found, anchor))


def learn_layouts(lesson: Lesson, config: LayoutConfig, chance: Chance) -> LayoutModel:
    """The generator learned from a lesson."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(chance.number("layout net") % 2**63)
        net, figures = _learn(lesson, config, chance.stream("layout batches"))
    return LayoutModel(lesson.retriever, net, config, figures)


def agreed(queries: Slots, found: Candidates, config: LayoutConfig, whole: bool = False) -> np.ndarray:
    """float64 [Q, P, 4]: what retrieval alone decides, by distance and agreement."""
    out = np.zeros_like(queries.boxes)
    weight = np.exp(-(found.distance - found.distance[:, :1]) / config.near)
    for q in range(len(queries)):
        n = int(queries.present[q].sum())
        kinds = queries.kinds[q, :n]
        out[q, :n] = choose(found.boxes[q, :, :n], kinds, weight[q], config.overlap_price, whole)
    return out


def condition(queries: Slots, found: Candidates, anchor: np.ndarray) -> Condition:
    """What the network reads: candidates in the anchor's order within each kind. anchor: float64 [Q, P, 4]."""
    boxes, ranks = found.boxes.copy(), np.zeros_like(queries.kinds)
    for q in range(len(queries)):
        n = int(queries.present[q].sum())
        kinds = queries.kinds[q, :n]
        for _, start, need in runs_of(kinds):
            ranks[q, start : start + need] = np.arange(need)
        if len(np.unique(kinds)) < n:
            for e in range(boxes.shape[1]):
                boxes[q, e, :n] = paired(anchor[q, :n], boxes[q, e, :n], kinds)
    return Condition(
        kinds=torch.from_numpy(queries.kinds),
        ranks=torch.from_numpy(ranks),
        present=torch.from_numpy(queries.present),
        counts=_floats(queries.counts),
        exemplars=_floats(boxes),
        borrowed=_floats(found.borrowed),
        distance=_floats(found.distance),
        anchor=_floats(anchor),
    )


def _truth(corpus: Slots, found: Candidates, anchor: np.ndarray) -> tuple[Tensor, Tensor]:
    boxes, fit = corpus.boxes.copy(), np.zeros(found.boxes.shape[:3])
    for q in range(len(corpus)):
        n = int(corpus.present[q].sum())
        kinds = corpus.kinds[q, :n]
        boxes[q, :n] = paired(anchor[q, :n], corpus.boxes[q, :n], kinds)
        for _, start, need in runs_of(kinds):
            part = slice(start, start + need)
            for e in range(found.boxes.shape[1]):
                iou = box_iou(found.boxes[q, e, part], corpus.boxes[q, part])
                fit[q, e, part] = iou[linear_sum_assignment(iou, maximize=True)].mean() if need > 1 else iou[0, 0]
    return _floats(boxes), _floats(fit)


def _learn(lesson: Lesson, config: LayoutConfig, draw: np.random.Generator) -> tuple[LayoutNet, dict[str, float]]:
    size = NetSize(lesson.given.counts.shape[1], width=config.width)
    net, posterior, critic = LayoutNet(size), Posterior(size), Critic(size)
    ours = torch.optim.AdamW([*net.parameters(), *posterior.parameters()], config.learning_rate, weight_decay=0.01)
    theirs = torch.optim.AdamW(critic.parameters(), config.learning_rate / 4, betas=(0.0, 0.9))
    rounds = [batch for _ in range(config.epochs) for batch in _batches(lesson, config.batch, draw)]
    pace = torch.optim.lr_scheduler.OneCycleLR(ours, config.learning_rate, total_steps=len(rounds) + 1, pct_start=0.1)
    seen = []
    for step, rows in enumerate(rounds):
        given = lesson.given.rows(rows)
        truth = lesson.boxes[rows, : given.kinds.shape[1]]
        judge = critic if config.adversarial and step % CRITIC_EVERY == 0 else None
        if judge:
            _criticise(net, judge, theirs, given, truth)
        loss, parts = _loss(net, posterior, judge, given, truth, lesson.fit[rows, :, : truth.shape[1]], config)
        ours.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([*net.parameters(), *posterior.parameters()], LONGEST_STEP)
        ours.step()
        pace.step()
        seen.append(parts)
    last = np.array(seen[-max(len(rounds) // config.epochs, 1) :]).mean(0)
    return net, dict(zip(("trust_loss", "box_loss", "critic_score"), last.tolist(), strict=True))


def _loss(
    net: LayoutNet, posterior: Posterior, critic: Critic | None, given: Condition, truth: Tensor, fit: Tensor,
    config: LayoutConfig,
) -> tuple[Tensor, tuple[float, float, float]]:  # fmt: skip
    """Trust: cross-entropy to softmax(fit / sharpness), of whole layouts and of each kind. VAE: box loss + KL with
    free bits. GAN: minus the critic's score of a sample from the prior."""
    mask = given.present.float()
    mean, spread = posterior(truth, given)
    made, whole, local = net(given, mean + torch.randn_like(mean) * torch.exp(spread / 2))
    total = (fit * mask[:, None]).sum(-1) / mask.sum(1)[:, None]
    wanted, wanted_local = torch.softmax(total / config.sharpness, 1), torch.softmax(fit / config.sharpness, 1)
    trust = -(wanted * torch.log_softmax(whole, 1)).sum(1).mean()
    each = -(wanted_local * torch.log_softmax(whole[:, :, None] + local, 1)).sum(1)
    trust = trust + ((each * mask).sum(1) / mask.sum(1)).mean()
    boxes = box_loss(made, truth, given.present).mean()
    kl = (0.5 * (mean**2 + spread.exp() - 1 - spread)).clamp(min=0.05).sum(1).mean()
    loss = trust + config.reconstruct * (boxes + config.likeness * kl)
    score = torch.zeros(())
    if critic:
        free, _, _ = net(given, torch.randn_like(mean))
        score = critic(free, given)[0].mean()
        loss = loss - CRITIC_EVERY * config.adversarial * score
    return loss, (float(trust.detach()), float(boxes.detach()), float(score.detach()))


def _criticise(
    net: LayoutNet, critic: Critic, theirs: torch.optim.Optimizer, given: Condition, truth: Tensor
) -> None:
    """One step of the critic: WGAN-GP, and the real boxes again from its own view of them."""
    with torch.no_grad():
        made, _, _ = net(given, torch.randn(len(truth), net.size.latent))
    with sdpa_kernel(SDPBackend.MATH):  # the fused attention has no second derivative
        real, again = critic(truth, given)
        fake, _ = critic(made, given)
        share = torch.rand(len(truth), 1, 1)
        between = (share * truth + (1 - share) * made).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between, given)[0].sum(), between, create_graph=True)
        steep = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        loss = fake.mean() - real.mean() + REAL_SLOPE * steep + box_loss(again, truth, given.present).mean()
        theirs.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
    theirs.step()


def _batches(lesson: Lesson, size: int, draw: np.random.Generator) -> Iterator[Tensor]:
    """One epoch: layouts of about equal length together, in random order."""
    lengths = lesson.given.present.sum(1).numpy()
    order = np.argsort(lengths + 6 * draw.random(len(lengths)), kind="stable")
    starts = draw.permutation(np.arange(0, len(order), size))
    return (torch.from_numpy(order[start : start + size]) for start in starts)


def _floats(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
