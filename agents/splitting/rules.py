"""Rules for cut, width and quantiser: baselines of ``SplitPoint``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from agents.rules import Random
from agents.splitting.split_kernels import best_joint, joint_costs
from channel.errors import UserError
from channel.units import dbm_to_watt
from ran.learning.adaptation.greedy import Greedy
from ran.learning.adaptation.menu import Menu, Situation, Work

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.environment import Rule
    from agents.envs.split_point import SplitPoint, SplitState

    Values = NDArray[np.float64]


@dataclass(frozen=True)
class ByMerit:
    """Each UE for itself, as if band and server were shared out equally.

    Attributes:
        merit: the choice of the highest quality, of the fewest bytes, or of the best reward of its own; of equal ones
            that which takes the least time.
    """

    merit: Literal["quality", "bytes", "reward"]

    def __call__(self, environment: SplitPoint, state: SplitState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return actions, [batch, size]."""
        times, joules = alone(environment, state)
        quality, weight = environment.menu().quality.ravel(), weights(environment)
        count = state.there.sum(axis=1)[:, None, None]
        merit = {
            "quality": 1e6 * quality - times,
            "bytes": -1e6 * environment.table()[2] - times,
            "reward": weight[0] * quality * (times <= environment.round_deadline_s) / count
            + weight[1] * np.minimum(times, environment.round_deadline_s) / count + weight[2] * joules,
        }[self.merit]  # fmt: skip
        return actions(environment, state, np.where(fitting(environment, state), merit, -np.inf).argmax(axis=2))


@dataclass(frozen=True)
class Fixed:
    """The same choice for all, in all rounds; UEs that it does not fit cut earlier."""

    place: tuple[int, int, int] = (2, 2, 1)

    def __call__(self, environment: SplitPoint, state: SplitState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return actions, [batch, size]."""
        fits = fitting(environment, state)
        cut = np.full(state.there.shape, self.place[0])
        wanted = np.ravel_multi_index((cut, self.place[1], self.place[2]), environment.menu().sizes)
        earlier = np.ravel_multi_index((np.zeros_like(cut), self.place[1], self.place[2]), environment.menu().sizes)
        ok = np.take_along_axis(fits, wanted[..., None], 2)[..., 0]
        return actions(environment, state, np.where(ok, wanted, earlier))


@dataclass(frozen=True)
class PackageGreedy:
    """The rule that scenarios use (``ran.learning.adaptation.greedy``), each UE with an equal share of band and server.

    Attributes:
        deadline_s: that each UE should keep.
    """

    deadline_s: float = 2.5

    def __call__(self, environment: SplitPoint, state: SplitState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return actions, [batch, size]."""
        menu, (up, down) = environment.menu(), environment.rates(state)
        flat = np.zeros(state.there.shape, np.int64)
        for replica, ue in zip(*np.nonzero(state.there), strict=True):
            count = int(state.there[replica].sum())
            work = Work(
                environment.batches, environment.batch_size, environment.micro_batches,
                float(state.server[replica]) / count, dbm_to_watt(environment.tx_power_dbm) / count,
            )  # fmt: skip
            own = Menu(menu.cuts, menu.widths, menu.quantisers, menu.quality, work)
            device = environment.devices[int(state.device[replica, ue])]
            now = Situation(device, up[replica, ue] / count, down[replica, ue] / count, self.deadline_s)
            flat[replica, ue] = np.ravel_multi_index(Greedy().choose(own, now), menu.sizes)
        return actions(environment, state, flat)


@dataclass(frozen=True)
class JointOptimum:
    """The best of all joint choices: rounds do not depend on each other, so it is the best that can be done.

    Raises UserError where there are more than 6 UEs: it would take too long.
    """

    def __call__(self, environment: SplitPoint, state: SplitState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return actions, [batch, size]."""
        if environment.ues > 6:
            raise UserError(f"the joint optimum of {environment.ues} UEs takes too long; set ues to 6 or less")
        up, down, speed, server, *power = environment.situation(state)
        quality, table, fits = environment.menu().quality.ravel(), environment.table(), fitting(environment, state)
        flat = np.zeros(state.there.shape, np.int64)
        work, weight = (float(environment.batches), float(environment.micro_batches)), weights(environment)
        for replica, there in enumerate(state.there):
            own = [each[replica, there] for each in (up, down, speed)]
            found = np.zeros(int(there.sum()), np.int64)
            best_joint(
                fits[replica, there], quality, table, *own, float(server[replica]),
                *(each[replica, there] for each in power), work, environment.round_deadline_s, weight, found,
            )  # fmt: skip
            flat[replica, there] = found
        return actions(environment, state, flat)


def weights(environment: SplitPoint) -> Values:
    """Return the weights of quality, in its own unit, latency and energy."""
    weight = {term.name: environment.weights.get(term.name, term.weight) for term in environment.terms()}
    return np.array([100 * weight["quality"], weight["latency"], weight["energy"]])


def fitting(environment: SplitPoint, state: SplitState) -> NDArray[np.bool_]:
    """Return which choices fit each UE, [batch, num_ues, num_choices]."""
    menu = environment.menu()
    memory = np.array([menu.cuts[place[0]].memory_bytes for place in menu.places()])
    return memory <= environment.of_devices(state, "memory_bytes")[..., None]


def actions(environment: SplitPoint, state: SplitState, flat: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return actions of flat choices, [batch, 3 num_ues]; of UEs that are not there the first option."""
    places = np.stack(np.unravel_index(np.where(state.there, flat, 0), environment.menu().sizes), axis=1)
    return places.reshape(len(flat), -1).astype(np.int64)


def alone(environment: SplitPoint, state: SplitState) -> tuple[Values, Values]:
    """Return every UE's seconds and joules for every choice, [batch, num_ues, num_choices], all with equal shares."""
    batch, ues = state.there.shape
    table, count = environment.table(), state.there.sum(axis=1)[:, None]
    up, down, speed, server, joule, radiated, circuit, receive = environment.situation(state)
    options = table.shape[1]
    times, joules = np.zeros((2, batch * ues, options))
    flat = [np.ascontiguousarray(np.broadcast_to(each, (batch, ues))).reshape(-1, 1) for each in (
        up / count, down / count, speed, joule, radiated / count, circuit, receive
    )]  # fmt: skip
    share = np.broadcast_to(server[:, None] / count, (batch, ues)).ravel()
    one, work = np.ones((batch * ues, 1), bool), (float(environment.batches), float(environment.micro_batches))
    for option in range(options):
        time, energy, choice = np.zeros((batch * ues, 1)), np.zeros((batch * ues, 1)), np.full((batch * ues, 1), option)
        joint_costs(choice, one, table, *flat[:3], share, *flat[3:], work, time, energy)
        times[:, option], joules[:, option] = time[:, 0], energy[:, 0]
    return times.reshape(batch, ues, options), joules.reshape(batch, ues, options)


def baselines() -> dict[str, Rule]:
    """Return the baselines; what they leave open was chosen for the best return over other episodes."""
    return {
        "random": Random(),
        "fixed": Fixed(),
        "max_quality": ByMerit("quality"),
        "max_rate": ByMerit("bytes"),
        "greedy": PackageGreedy(),
        "selfish": ByMerit("reward"),
        "oracle": JointOptimum(),
    }
