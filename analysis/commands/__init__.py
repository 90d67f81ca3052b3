"""The commands that read recordings: each parses, calls, and returns."""

import pyarrow as pa

# One allocator for Arrow and numpy: what the one gives back the other takes. With Arrow's own a
# report on 10 million events takes 7 % more CPU.
pa.set_memory_pool(pa.system_memory_pool())
