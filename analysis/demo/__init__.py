"""Experiments on the real kernel: what textbooks say about how TCP ends, measured.

Each experiment has two network namespaces of its own, a recording made by
``tcptrace record`` and a capture of the segments beside it.
"""
