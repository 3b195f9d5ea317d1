"""Linear layers on oneDNN's prepacked weights, each row of which is computed alike however many rows there are."""

from __future__ import annotations

import functools
from typing import Literal, TypeAlias

import torch
from torch.nn.functional import pad

Fusion: TypeAlias = Literal["none", "gelu", "add"]
"""What oneDNN computes together with the product: nothing, the exact GELU after it, or the sum with a residual."""

ROWS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
"""The only numbers of rows a layer is called with: few kernels are compiled, and all of them can be tried."""


def fit_rows(count: int, largest: int) -> int:
    """The least of :data:`ROWS` that holds ``count`` rows; beyond ``largest``, a multiple of it."""
    if count > largest:
        return -(-count // largest) * largest
    return min(rows for rows in ROWS if rows >= count)


def is_supported(dtype: torch.dtype) -> bool:
    """Whether this torch has oneDNN's prepacked products, and this processor computes them in this dtype."""
    # The operators are private (torch's inductor is who they are for): a torch without them runs models as they are.
    if not all(hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")):
        return False
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


class PackedLinear:
    """``fusion(x @ weight.T + bias)`` for x of shape (M, I), M from :data:`ROWS` or a multiple of ``largest``.

    oneDNN chooses its kernel, and with it the order of the sums, by M. Rows must not depend on their neighbours, so the
    layer never uses fewer rows than :func:`least_rows`; a smaller x is filled up with zeros.

    Args:
        weight_OI: the weights, of a dtype that :func:`is_supported`.
        bias_O: the bias, or None.
        largest: the most rows of one product, one of :data:`ROWS`.
        fusion: see :data:`Fusion`.

    Raises:
        RuntimeError: no number of rows up to ``largest`` gives each row alike.
    """

    def __init__(
        self, weight_OI: torch.Tensor, bias_O: torch.Tensor | None, largest: int, fusion: Fusion = "none"
    ) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight_OI.detach().contiguous(), largest)
        self._bias_O = None if bias_O is None else bias_O.detach().contiguous()
        self._fusion: Fusion = fusion
        self._largest = largest
        outputs, inputs = weight_OI.shape
        self._least = least_rows(outputs, inputs, weight_OI.dtype, largest, fusion)

    def __call__(self, x_MI: torch.Tensor, residual_MO: torch.Tensor | None = None) -> torch.Tensor:
        """The layer's output (M, O); ``residual_MO`` is what the fusion ``add`` adds."""
        rows = len(x_MI)
        if rows > self._largest:
            parts = torch.split(x_MI, self._largest)
            residuals = (None,) * len(parts) if residual_MO is None else torch.split(residual_MO, self._largest)
            return torch.cat([self(part, residual) for part, residual in zip(parts, residuals, strict=True)])
        if rows < self._least:
            # Zero rows choose the kernel of larger products, whose sums have the order that all others have.
            missing = (0, 0, 0, self._least - rows)
            filled = None if residual_MO is None else pad(residual_MO, missing)
            return _product(pad(x_MI, missing), self._weight, self._bias_O, self._fusion, filled)[:rows]
        return _product(x_MI, self._weight, self._bias_O, self._fusion, residual_MO)


@functools.lru_cache(maxsize=256)
def least_rows(outputs: int, inputs: int, dtype: torch.dtype, largest: int, fusion: Fusion) -> int:
    """The least of :data:`ROWS` from which on, up to ``largest``, a row is the same, bit for bit, in every product.

    Found by trying: random rows at the start and at the end of products of every size.

    Raises:
        RuntimeError: not even a product of ``largest`` rows gives each row alike.
    """
    generator = torch.Generator().manual_seed(0)
    x_MI = torch.randn(largest, inputs, generator=generator).to(dtype)
    weight_OI = torch.randn(outputs, inputs, generator=generator).mul_(inputs**-0.5).to(dtype)
    residual_MO = torch.randn(largest, outputs, generator=generator).to(dtype) if fusion == "add" else None
    weight = torch.ops.mkldnn._reorder_linear_weight(weight_OI, largest)

    def rows_at(start: int, count: int, shift: int = 0) -> torch.Tensor:
        x, residual = (
            None if whole is None else whole[start : start + count].roll(shift, 0) for whole in (x_MI, residual_MO)
        )
        assert x is not None
        return _product(x, weight, None, fusion, residual).roll(-shift, 0)

    expected_MO = rows_at(0, largest)
    least = 0
    # A kernel that treats rows by their place (a remainder at the end, say) shows where they are rolled on by seven.
    for count in sorted((rows for rows in ROWS if rows <= largest), reverse=True):
        starts = {0, largest - count}
        if not all(torch.equal(rows_at(start, count, 7), expected_MO[start : start + count]) for start in starts):
            break
        least = count
    if not least:
        raise RuntimeError(f"oneDNN's {dtype} product of {largest} rows depends on their order")
    return least


def _product(
    x_MI: torch.Tensor,
    weight: torch.Tensor,
    bias_O: torch.Tensor | None,
    fusion: Fusion,
    residual_MO: torch.Tensor | None,
) -> torch.Tensor:
    linear = torch.ops.mkldnn._linear_pointwise
    if fusion == "add":
        return linear.binary(x_MI, residual_MO, weight, bias_O, "add")  # type: ignore[no-any-return]
    if fusion == "gelu":
        return linear(x_MI, weight, bias_O, "gelu", [], "none")  # type: ignore[no-any-return]
    return linear(x_MI, weight, bias_O, "none", [], "")  # type: ignore[no-any-return]
