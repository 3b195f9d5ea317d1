"""Throughput, memory, the GEMM rate, the order within groups, the latency of arrivals, the cost of known texts."""
