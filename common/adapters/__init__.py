"""Adapters: from the drafter's states to the target's space, where the target's own head makes drafts of them.

| level | what it computes | a state depends on | parameters at 4096 |
|---|---|---|---|
| L1 | a bottleneck of 256 beside the state | its own position | 2,113,537 |
| L1S | a bottleneck of 256 in the state's way; its waist can travel as bytes | its own position | 6,569,985 |
| L2 | three bottlenecks | its own position | 6,324,227 |
| L3 | two (or three) blocks of 1,024 | its own position | 16,797,698 (25,188,355) |
| L4 | attention over the chunk | the whole chunk | 100,714,497 |
| L5 | causal attention with positions, as in EAGLE (arXiv 2401.15077) | all positions before | 102,819,841 |
| L5F | L5 with the target's own states through a gate | all positions before | 169,936,897 |
| tokens | ids to ids, no states | the whole chunk | 45,475,328 |

The counts are those of equal sizes and one layer. Where the sizes differ, a projection without bias comes first and
adds `drafter_hidden * target_hidden` (L1S has none: its two halves match the sizes). With `layers` = k > 1 the states
of the drafter's last k layers are read (as in EAGLE-3, arXiv 2503.01840); fusing them adds `k * drafter_hidden ** 2`.

Nothing an adapter does can change an answer: the target verifies what comes out.
"""

from common.adapters.attention import AttentionAdapter, CausalAdapter, FusedAdapter
from common.adapters.base import Adapter
from common.adapters.bottleneck import BottleneckAdapter, SplitAdapter
from common.adapters.config import AdapterConfig, Level, Reach
from common.adapters.files import (
    AnyAdapter,
    LoadedAdapter,
    adapter_config,
    build_adapter,
    create_adapter,
    load_adapter,
    save_adapter,
)
from common.adapters.fused import FusedAnswer
from common.adapters.incremental import Incremental
from common.adapters.quantized import fake_int8, from_int8, to_int8
from common.adapters.tokens import TokenAdapter
from common.adapters.wide import WideAdapter

__all__ = [
    "Adapter",
    "AdapterConfig",
    "AnyAdapter",
    "AttentionAdapter",
    "BottleneckAdapter",
    "CausalAdapter",
    "FusedAdapter",
    "FusedAnswer",
    "Incremental",
    "Level",
    "LoadedAdapter",
    "Reach",
    "SplitAdapter",
    "TokenAdapter",
    "WideAdapter",
    "adapter_config",
    "build_adapter",
    "create_adapter",
    "fake_int8",
    "from_int8",
    "load_adapter",
    "save_adapter",
    "to_int8",
]
