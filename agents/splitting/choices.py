"""The cuts, widths and quantisers of the quickstart's vision transformer, what they cost, and how good they are."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ran.learning.adaptation.menu import CutOption, Menu, Quantiser, Work
from ran.learning.adaptation.observed import AFTER, COMPRESSORS, WIDTHS

QUANTISERS = tuple(zip(COMPRESSORS, (16.0, 8.0, 4.4), strict=True))
"""With bits a value: for top_k the kept tenth, 32 bits each and a position of 12."""

# [num_cuts, num_widths, num_quantisers], test accuracy as ``python -m agents.splitting.measure`` finds it.
ACCURACY = (
    ((0.973, 0.973, 0.867), (0.973, 0.973, 0.624), (0.873, 0.873, 0.296)),
    ((0.973, 0.973, 0.867), (0.967, 0.967, 0.616), (0.738, 0.738, 0.309)),
    ((0.973, 0.973, 0.962), (0.978, 0.978, 0.916), (0.964, 0.964, 0.751)),
)


@lru_cache(maxsize=4)
def glyph_menu(batches: int, batch_size: int, micro_batches: int, server_flops_per_s: float, power_w: float) -> Menu:
    """Return the menu of the quickstart's network with LoRA, its costs counted by ``count_sides`` on the real one."""
    from channel.seeding import stream
    from ran.learning.split.counting import count_sides
    from ran.learning.split.cut import Cut
    from ran.learning.split.party import Party
    from ran.learning.split.smashed_data import SmashedData
    from ran.learning.split.split_network import SplitNetwork
    from scenarios.build import build_world
    from scenarios.load import load
    from scenarios.run import build_learner

    scenario = load("quickstart")
    learner = build_learner(scenario, build_world(scenario))
    options = []
    for after in AFTER:
        cut = Cut(after=(after,))
        split = SplitNetwork.of(learner.network, cut, SmashedData(), learner.sample(), stream(1, "cut"))
        parties = {node: Party.of(split, node, split.initial(node)) for node in dict.fromkeys(cut.nodes)}
        learner.network.module.train()
        counts = count_sides(split, parties, learner.sample(), state_floats=learner.state_floats)
        learner.network.module.eval()
        options.append(CutOption(
            after, counts["ue"].forward_flops, counts["gnb"].forward_flops, counts["ue"].memory_bytes(batch_size),
            int(np.prod(split.hidden_shapes[0])),
        ))  # fmt: skip
    quantisers = tuple(Quantiser(compressor.name, bits) for compressor, bits in QUANTISERS)
    work = Work(batches, batch_size, micro_batches, server_flops_per_s, power_w)
    return Menu(tuple(options), WIDTHS, quantisers, np.array(ACCURACY), work)
