"""Operations of src/core as PyTorch computes them: inputs, results and gradients, for tests/operations/.

Every case has a name, shared with tests/operations/cases.ts, and draws its inputs from a generator seeded by that name,
so that a new case changes no other. Gradients are those of sum(result * cotangent) for every floating input.
"""

import json
import math
import zlib
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

SEED = 20260
CASES = {}


# Inputs: functions of a generator.
def normal(*shape):
    return lambda g: torch.randn(shape, generator=g)


def uniform(low, high, *shape):
    return lambda g: low + (high - low) * torch.rand(shape, generator=g)


def apart(*shape, gap=0.1):
    """Values at least `gap` from each other and half of it from the multiples of 1/2, where operations have kinks."""

    def draw(g):
        n = math.prod(shape)
        grid = (torch.randperm(n, generator=g) - n // 2) * gap + gap / 2
        return grid.reshape(shape)

    return draw


def integers(low, high, *shape, dtype=torch.int64):
    return lambda g: torch.randint(low, high, shape, generator=g).to(dtype)


def booleans(*shape):
    return lambda g: torch.rand(shape, generator=g) < 0.5


def values(*items, dtype=torch.float32):
    return lambda g: torch.tensor(items, dtype=dtype)


def cases(group, **named):
    """Cases of one group: name=(function, *inputs); underscores in names stand for spaces."""
    for name, (function, *inputs) in named.items():
        key = f"{group}/{name.replace('_', ' ')}"
        assert key not in CASES, key
        CASES[key] = (function, inputs)


# Elementwise.
for group, function in [("neg", torch.neg), ("exp", torch.exp), ("tanh", torch.tanh), ("sigmoid", torch.sigmoid)]:
    cases(group, matrix=(function, normal(3, 7)))
cases("neg", i64=(torch.neg, integers(-9, 9, 5)))
cases("exp", extremes=(torch.exp, values(-200.0, -0.0, 80.0, 200.0, -math.inf)))
cases("tanh", extremes=(torch.tanh, values(-50.0, 1e-6, 50.0)))
cases("sigmoid", extremes=(torch.sigmoid, values(-80.0, -15.0, 0.0, 15.0, 80.0)))
cases("log", positive=(torch.log, uniform(0.2, 3, 4, 5)))
cases("sqrt", positive=(torch.sqrt, uniform(0.2, 3, 4, 5)))
cases("abs", matrix=(torch.abs, apart(4, 5)), at_zero=(torch.abs, values(-1.0, 0.0, 2.0)), i32=(torch.abs, integers(-9, 9, 6, dtype=torch.int32)))
cases("erf", matrix=(torch.erf, normal(4, 5)))
cases("sin", matrix=(torch.sin, uniform(-7, 7, 4, 5)))
cases("cos", matrix=(torch.cos, uniform(-7, 7, 4, 5)))
cases("sign", matrix=(torch.sign, apart(4, 5)), at_zero=(torch.sign, values(-3.0, 0.0, 3.0)))
cases("floor", matrix=(torch.floor, apart(4, 11)))
cases("round", matrix=(torch.round, apart(4, 11)), halves=(torch.round, values(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)))

for group, function in [("add", torch.add), ("sub", torch.sub), ("mul", torch.mul)]:
    cases(
        group,
        same_shape=(function, normal(3, 5), normal(3, 5)),
        both_broadcast=(function, normal(2, 3, 1), normal(4)),
        outer=(function, normal(3, 1), normal(1, 4)),
        a_scalar_tensor=(function, normal(2, 3), normal()),
        a_number=(lambda x, f=function: f(x, 2.5), normal(2, 3)),
        with_itself=(lambda x, f=function: f(x, x), normal(2, 3)),
        i64=(function, integers(-9, 9, 3, 4), integers(-9, 9, 4)),
        i32=(function, integers(-9, 9, 3, 4, dtype=torch.int32), integers(-9, 9, 3, 1, dtype=torch.int32)),
    )
cases(
    "div",
    same_shape=(torch.div, normal(3, 5), uniform(0.5, 2, 3, 5)),
    both_broadcast=(torch.div, normal(2, 3, 1), uniform(0.5, 2, 4)),
    by_a_number=(lambda x: x / 3, normal(2, 3)),
    i64=(lambda x, y: torch.div(x, y, rounding_mode="trunc"), integers(-20, 20, 3, 4), integers(1, 9, 4)),
)
cases(
    "pow",
    same_shape=(torch.pow, uniform(0.3, 2, 3, 5), normal(3, 5)),
    broadcast=(torch.pow, uniform(0.3, 2, 3, 1), normal(4)),
    cube_of_negatives=(lambda x: x**3, normal(3, 5)),
    a_root=(lambda x: x**0.5, uniform(0.3, 2, 6)),
    at_zero=(torch.pow, values(0.0, 0.0, 0.0, 2.0), values(2.0, 0.0, 1.0, 0.0)),
)
for group, function in [("maximum", torch.maximum), ("minimum", torch.minimum)]:
    cases(
        group,
        # Even against odd tenths: never nearer than the gap.
        same_shape=(lambda x, y, f=function: f(x, y + 0.05), apart(3, 5), apart(3, 5)),
        broadcast=(lambda x, y, f=function: f(x, y + 0.05), apart(2, 3, 1), apart(4)),
        ties=(function, integers(-2, 2, 40, dtype=torch.float32), integers(-2, 2, 40, dtype=torch.float32)),
        i64=(function, integers(-5, 5, 3, 4), integers(-5, 5, 4)),
    )
cases("relu", matrix=(torch.relu, apart(4, 5)), at_zero=(torch.relu, values(-1.0, -0.0, 0.0, 2.0)), i32=(torch.relu, integers(-9, 9, 6, dtype=torch.int32)))
cases("softplus", far_tail=(lambda x: F.softplus(x.double()).float(), values(-20.0, -30.0, -80.0, -16.5)))
cases("sigmoid", far_tail=(lambda x: torch.sigmoid(x.double()).float(), values(-17.9, -18.1, -20.0, -40.0)))
cases("logSigmoid", matrix=(F.logsigmoid, apart(4, 5)), far_tail=(F.logsigmoid, values(-200.0, -20.0, 0.0, 20.0)))
cases("gate", matrix=(torch.sigmoid, normal(3, 7)))
cases("softplus", matrix=(F.softplus, apart(4, 5)), extremes=(F.softplus, values(-80.0, 0.0, 15.0)))
cases(
    "clip",
    inside_and_outside=(lambda x: x.clamp(-0.5, 1), apart(4, 11)),
    at_the_bounds=(lambda x: x.clamp(-1, 1), values(-2.0, -1.0, 0.0, 1.0, 2.0)),
    i64=(lambda x: x.clamp(-2, 3), integers(-9, 9, 12)),
)

for group, function in [("eq", torch.eq), ("lt", torch.lt), ("le", torch.le), ("gt", torch.gt), ("ge", torch.ge)]:
    whole = integers(-2, 3, 3, 7, dtype=torch.float32)
    cases(
        group,
        f32=(function, whole, whole),
        broadcast=(function, whole, integers(-2, 3, 7, dtype=torch.float32)),
        a_number=(lambda x, f=function: f(x, 1), whole),
        i64=(function, integers(-2, 3, 3, 7), integers(-2, 3, 3, 1)),
        i32=(function, integers(-2, 3, 12, dtype=torch.int32), integers(-2, 3, 12, dtype=torch.int32)),
        nan=(function, values(math.nan, 1.0, math.inf), values(math.nan, math.nan, math.inf)),
    )
cases("eq", bool=(torch.eq, booleans(9), booleans(9)), u8=(torch.eq, integers(0, 3, 9, dtype=torch.uint8), integers(0, 3, 9, dtype=torch.uint8)))
cases("and", broadcast=(torch.logical_and, booleans(3, 5), booleans(5)))
cases("or", broadcast=(torch.logical_or, booleans(3, 5), booleans(3, 1)))
cases("not", matrix=(torch.logical_not, booleans(3, 5)))
cases(
    "where",
    same_shape=(torch.where, booleans(3, 5), normal(3, 5), normal(3, 5)),
    condition_broadcasts=(torch.where, booleans(3, 1), normal(3, 5), normal(3, 5)),
    values_broadcast=(torch.where, booleans(2, 3, 4), normal(4), normal(3, 1)),
    i64=(torch.where, booleans(6), integers(-9, 9, 6), integers(-9, 9, 6)),
    bool=(torch.where, booleans(6), booleans(6), booleans(6)),
    an_infinite_branch=(lambda x: torch.where(x > 1.0, torch.log(x - 1), x), values(-1.0, 0.5, 1.0, 1.5, 3.0)),
)


def bits(dtype):
    """Every sixteenth-bit pattern's neighbourhood: a spread of patterns of a 16-bit type, specials among them."""

    def draw(g):
        patterns = torch.randint(-(2**15), 2**15, (400,), generator=g).to(torch.int16)
        special = torch.tensor([0, -(2**15), 1, -(2**15) + 1, 0x3FF, 0x400, 0x7BFF, 0x7C00, -0x400, 0x7F80, -0x80], dtype=torch.int16)
        x = torch.cat([patterns, special]).view(dtype)
        return x[~x.isnan()]

    return draw


def hard_to_round(g):
    """float32 values at, just above and just below ties of half and bfloat precision, subnormals, overflow, infinities."""
    base = torch.randn(100, generator=g) * torch.exp2(torch.randint(-26, 18, (100,), generator=g).float())
    ties = []
    for mask, half in ((0x1FFF, 0x1000), (0xFFFF, 0x8000)):
        whole = base.view(torch.int32) & ~mask
        ties += [whole | half, (whole | half) + 1, (whole | half) - 1]
    exact = [65503.99, 65504.0, 65519.9, 65520.0, 1e6, 3.4e38, 2.0**-24, 2.0**-25, 2.0**-25 * 1.0001, 2.0**-14, 2.0**-15 * 1.5, 0.0, -0.0]
    return torch.cat([base, torch.cat(ties).view(torch.float32), torch.tensor(exact + [math.inf, -math.inf])])


cases(
    "cast",
    f32_to_f16=(lambda x: x.half(), hard_to_round),
    f32_to_bf16_and_back=(lambda x: x.bfloat16().float(), hard_to_round),
    f16_to_f32=(lambda x: x.float(), bits(torch.float16)),
    f16_to_bf16_and_back=(lambda x: x.bfloat16().half(), bits(torch.float16)),
    f32_to_i64=(lambda x: x.long(), uniform(-1000, 1000, 20)),
    f32_to_i32=(lambda x: x.int(), uniform(-1000, 1000, 20)),
    f32_to_u8=(lambda x: x.byte(), uniform(0, 255.99, 20)),
    f32_to_bool=(lambda x: x.bool(), values(0.0, -0.0, 1.0, -2.0, 1e-30)),
    i64_to_f32=(lambda x: x.float(), integers(-(2**40), 2**40, 20)),
    i32_to_i64=(lambda x: x.long(), integers(-(2**31), 2**31, 20, dtype=torch.int32)),
    i64_to_i32=(lambda x: x.int(), integers(-(2**31), 2**31, 20)),
    i32_to_f32=(lambda x: x.float(), integers(-(2**31), 2**31, 20, dtype=torch.int32)),
    u8_to_f32=(lambda x: x.float() / 127.5 - 1, integers(0, 256, 2, 3, 5, dtype=torch.uint8)),
    bool_to_f32=(lambda x: x.float(), booleans(9)),
    bool_to_i64=(lambda x: x.long(), booleans(9)),
    through_i64=(lambda x: x * x.long().float(), apart(12)),
)
cases("stopGradient", matrix=(lambda x: x * x.detach() + x, normal(3, 5)))
cases("silu", matrix=(F.silu, normal(3, 5)), wide=(F.silu, uniform(-12, 12, 40)))
cases(
    "leakyRelu",
    matrix=(lambda x: F.leaky_relu(x, 0.2), normal(3, 5)),
    at_zero=(lambda x: F.leaky_relu(x, 0.01), values(-1.0, 0.0, 2.0)),
)
cases(
    "gelu",
    exact=(F.gelu, normal(3, 7)),
    tanh=(lambda x: F.gelu(x, approximate="tanh"), normal(3, 7)),
    quick=(lambda x: x * torch.sigmoid(1.702 * x), normal(3, 7)),
    wide=(F.gelu, uniform(-5, 5, 40)),
    wide_tanh=(lambda x: F.gelu(x, approximate="tanh"), uniform(-5, 5, 40)),
)

# Reductions.
for group, function in [("sum", torch.sum), ("mean", torch.mean)]:
    cases(
        group,
        all=(function, normal(3, 4, 5)),
        middle_axis=(lambda x, f=function: f(x, 1), normal(3, 4, 5)),
        last_axis_kept=(lambda x, f=function: f(x, -1, keepdim=True), normal(3, 4, 5)),
        two_axes=(lambda x, f=function: f(x, (0, 2)), normal(3, 4, 5)),
        outer_axes_of_four=(lambda x, f=function: f(x, (0, 2, 3)), normal(2, 3, 4, 5)),
        an_axis_of_one=(lambda x, f=function: f(x, 1), normal(3, 1, 5)),
        long=(lambda x, f=function: f(x, 1), normal(2, 4001)),
    )
cases("sum", i64=(lambda x: x.sum(1), integers(-9, 9, 3, 5)), i32=(lambda x: x.sum(1, dtype=torch.int32), integers(-9, 9, 3, 5, dtype=torch.int32)))
for group, function in [("max", torch.amax), ("min", torch.amin)]:
    cases(
        group,
        all=(lambda x, f=function: f(x), apart(3, 4, 5)),
        middle_axis=(lambda x, f=function: f(x, 1), apart(3, 4, 5)),
        two_axes_kept=(lambda x, f=function: f(x, (0, 2), keepdim=True), apart(3, 4, 5)),
        ties=(lambda x, f=function: f(x, -1), integers(0, 3, 4, 9, dtype=torch.float32)),
        i64=(lambda x, f=function: f(x, 1), integers(-9, 9, 3, 5)),
        nan=(lambda x, f=function: f(x, 1), values([1.0, math.nan, 3.0], [1.0, 2.0, -math.inf], [math.nan, math.inf, 0.0])),
        infinities=(lambda x, f=function: f(x, 1), values([1.0, -math.inf, math.inf], [-math.inf, -math.inf, -math.inf])),
    )
cases(
    "argmax",
    nan=(lambda x: x.argmax(1), values([1.0, math.nan, 3.0], [5.0, 2.0, -math.inf], [0.0, math.inf, math.nan])),
    last_axis=(lambda x: x.argmax(-1), apart(3, 4, 5)),
    first_axis=(lambda x: x.argmax(0), apart(3, 4, 5)),
    i64=(lambda x: x.argmax(1), lambda g: torch.stack([torch.randperm(7, generator=g) for _ in range(3)])),
)
cases(
    "cumsum",
    first_axis=(lambda x: x.cumsum(0), normal(5, 3)),
    negative_axis=(lambda x: x.cumsum(-1), normal(2, 3, 7)),
    reverse=(lambda x: x.flip(1).cumsum(1).flip(1), normal(2, 7, 3)),
    i64=(lambda x: x.cumsum(1), integers(-9, 9, 3, 5)),
)
for group, function in [("softmax", F.softmax), ("logSoftmax", F.log_softmax)]:
    cases(
        group,
        last_axis=(lambda x, f=function: f(x, -1), normal(3, 7)),
        first_axis=(lambda x, f=function: f(x, 0), normal(4, 3)),
        middle_axis=(lambda x, f=function: f(x, 1), normal(2, 5, 3)),
        large=(lambda x, f=function: f(x * 300, -1), normal(3, 7)),
        masked=(lambda x, f=function: f(x, -1), values([0.0, -1e9, 1.0], [2.0, 3.0, -1e9])),
    )

# Shape.
cases(
    "reshape",
    to_matrix=(lambda x: x.reshape(6, 5), normal(2, 3, 5)),
    one_left_open=(lambda x: x.reshape(-1, 10), normal(2, 3, 5)),
    to_scalar=(lambda x: x.reshape(()), normal(1, 1)),
    i64=(lambda x: x.reshape(4, 3), integers(-9, 9, 2, 6)),
    unsqueeze_and_squeeze=(lambda x: x.unsqueeze(1).unsqueeze(-1).squeeze(1), normal(3, 4)),
)
cases(
    "transpose",
    matrix=(lambda x: x.T, normal(3, 5)),
    reversed=(lambda x: x.permute(2, 1, 0), normal(2, 3, 5)),
    four_axes=(lambda x: x.permute(0, 2, 3, 1), normal(2, 3, 4, 5)),
    negative_axes=(lambda x: x.permute(-1, 0, 1), normal(2, 3, 5)),
    bool=(lambda x: x.T, booleans(3, 5)),
)
cases(
    "expand",
    axes_of_one=(lambda x: x.expand(3, 4, 5), normal(3, 1, 5)),
    new_axes=(lambda x: x.expand(2, 3, 4), normal(4)),
    a_scalar=(lambda x: x.expand(2, 3), normal()),
    bool=(lambda x: x.expand(4, 3), booleans(3)),
)
cases(
    "slice",
    middle=(lambda x: x[:, 2:5], normal(3, 7)),
    steps=(lambda x: x[:, 1:7:3], normal(3, 7)),
    steps_that_leave_a_rest=(lambda x: x[0:8:2], normal(9, 2)),
    negative=(lambda x: x[..., -3:-1], normal(2, 3, 7)),
    negative_axis_and_step=(lambda x: x[:, -6::2], normal(2, 7)),
    one_element=(lambda x: x[2:3], normal(5, 2)),
    u8=(lambda x: x[:, 1:3], integers(0, 255, 2, 4, dtype=torch.uint8)),
)
cases("flip", last_axis=(lambda x: x.flip(-1), normal(3, 5)), first_axis=(lambda x: x.flip(0), normal(3, 5)), i64=(lambda x: x.flip(0), integers(-9, 9, 7)))
cases(
    "pad",
    zeros=(lambda x: F.pad(x, (1, 2, 0, 3)), normal(3, 4)),
    a_value=(lambda x: F.pad(x, (0, 2, 1, 0, 2, 1), value=-1.5), normal(2, 3, 4)),
    one_axis=(lambda x: F.pad(x, (0, 0, 2, 1)), normal(3, 4)),
    i64=(lambda x: F.pad(x, (1, 2), value=7), integers(-9, 9, 4)),
    bool=(lambda x: F.pad(x, (1, 2), value=True), booleans(4)),
)
for mode in ("edge", "reflect"):
    torch_mode = {"edge": "replicate", "reflect": "reflect"}[mode]
    cases(
        "padBorder",
        **{
            f"{mode}_1D": (lambda x, m=torch_mode: F.pad(x, (2, 3), mode=m), normal(2, 3, 5)),
            f"{mode}_2D": (lambda x, m=torch_mode: F.pad(x, (0, 1, 2, 1), mode=m), normal(2, 3, 4, 5)),
        },
    )
cases(
    "concat",
    rows=(lambda x, y: torch.cat([x, y]), normal(3, 4), normal(2, 4)),
    three_along_the_middle=(lambda x, y, z: torch.cat([x, y, z], 1), normal(2, 1, 3), normal(2, 4, 3), normal(2, 2, 3)),
    negative_axis=(lambda x, y: torch.cat([x, y], -1), normal(2, 3), normal(2, 5)),
    the_same_twice=(lambda x: torch.cat([x, x * 2, x]), normal(3, 4)),
    u8=(lambda x, y: torch.cat([x, y]), integers(0, 255, 3, dtype=torch.uint8), integers(0, 255, 4, dtype=torch.uint8)),
)
cases("stack", new_axis=(lambda x, y: torch.stack([x, y], 1), normal(3, 4), normal(3, 4)))
cases("split", parts=(lambda x: x.split([2, 1, 4], 1)[2] * x.split([2, 1, 4], 1)[0].sum(), normal(3, 7)))
cases("sumTo", broadcast_undone=(lambda x: x.sum((0, 2), keepdim=True)[0], normal(2, 3, 4)))


def at_index(axis, function=None):
    def gather(x, index):
        shape = [*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]]
        return x.index_select(axis, index.reshape(-1)).reshape(shape)

    return gather


def wrapped_rows(x, index):
    return x[index]


cases(
    "gather",
    rows_with_repeats=(at_index(0), normal(5, 3), integers(0, 5, 9)),
    axis_1=(at_index(1), normal(2, 5, 3), integers(0, 5, 7)),
    axis_2=(at_index(2), normal(2, 3, 5), integers(0, 5, 7)),
    axis_2_of_four_by_a_matrix=(at_index(2), normal(2, 3, 5, 4), integers(0, 5, 2, 3)),
    **{"negative,_few_rows": (wrapped_rows, normal(5, 3), values(-1, 0, -5, 4, -1, dtype=torch.int64))},
    **{"negative,_many_rows": (wrapped_rows, normal(1100, 1), values(-1, 0, -1100, 4, -1, dtype=torch.int64))},
    an_index_without_axes=(at_index(1), normal(3, 5), lambda g: torch.tensor(3)),
    i32_index=(at_index(0), normal(5, 3), integers(0, 5, 4, dtype=torch.int32)),
    u8_values=(at_index(0), integers(0, 255, 5, 3, dtype=torch.uint8), integers(0, 5, 4)),
)
cases("embedding", tokens=(lambda table, index: F.embedding(index, table), normal(7, 5), integers(0, 7, 2, 6)))


def rows_added(rows):
    return lambda updates, index: torch.zeros(rows, *updates.shape[1:]).index_add(0, index.long(), updates)


cases(
    "scatterAdd",
    rows=(rows_added(6), normal(4, 3), values(5, 0, 2, 3, dtype=torch.int64)),
    many_repeats=(rows_added(3), normal(257, 5), integers(0, 3, 257)),
    numbers=(rows_added(4), normal(50), integers(0, 4, 50)),
    i32_index=(rows_added(4), normal(9, 2, 3), integers(0, 4, 9, dtype=torch.int32)),
    negative=(lambda updates, index: rows_added(4)(updates, index % 4), normal(5, 3), values(-1, 0, -4, 3, 2, dtype=torch.int64)),
    onto_a_tensor=(lambda x, index, updates: x.index_add(0, index, updates), normal(4, 3), integers(0, 4, 7), normal(7, 3)),
)

# Products.
cases(
    "matmul",
    matrices=(torch.matmul, normal(3, 5), normal(5, 4)),
    first_transposed=(lambda x, y: x.T @ y, normal(5, 3), normal(5, 4)),
    second_transposed=(lambda x, y: x @ y.T, normal(3, 5), normal(4, 5)),
    both_transposed=(lambda x, y: x.T @ y.T, normal(5, 3), normal(4, 5)),
    batches=(torch.matmul, normal(2, 3, 5), normal(2, 5, 4)),
    batches_first_transposed=(lambda x, y: x.mT @ y, normal(2, 5, 3), normal(2, 5, 4)),
    batches_second_transposed=(lambda x, y: x @ y.mT, normal(2, 3, 5), normal(2, 4, 5)),
    batches_both_transposed=(lambda x, y: x.mT @ y.mT, normal(2, 5, 3), normal(2, 4, 5)),
    batches_broadcast=(torch.matmul, normal(2, 1, 3, 5), normal(3, 5, 4)),
    batches_broadcast_transposed=(lambda x, y: x.mT @ y.mT, normal(1, 2, 5, 3), normal(3, 1, 4, 5)),
    a_batch_by_a_matrix=(torch.matmul, normal(2, 3, 5), normal(5, 4)),
    a_matrix_by_a_batch_transposed=(lambda x, y: x.T @ y.mT, normal(5, 3), normal(2, 4, 5)),
    with_itself=(lambda x: x @ x.T, normal(3, 5)),
    a_row_by_a_column=(torch.matmul, normal(1, 7), normal(7, 1)),
    i32_second_transposed=(lambda x, y: x @ y.T, integers(-9, 9, 3, 4, dtype=torch.int32), integers(-9, 9, 5, 4, dtype=torch.int32)),
    i64_batches_first_transposed=(lambda x, y: x.mT @ y, integers(-9, 9, 2, 4, 3), integers(-9, 9, 2, 4, 5)),
)
cases(
    "linear",
    with_bias=(F.linear, normal(4, 5), normal(3, 5), normal(3)),
    without_bias=(F.linear, normal(2, 3, 5), normal(4, 5)),
    four_axes=(F.linear, normal(2, 2, 3, 5), normal(4, 5), normal(4)),
)


# Convolutions.
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def conv(pads=None, **options):
    """`pads`: (before, after) for every axis in their order, which F.pad takes from the last one on."""

    def apply(x, w, b=None):
        padded = F.pad(x, [p for pair in reversed(pads) for p in pair]) if pads else x
        return CONV[x.dim() - 2](padded, w, b, **options)

    return apply


def transposed(pads=None, **options):
    def apply(x, w):
        y = TRANSPOSED[x.dim() - 2](x, w, **options)
        for axis, (before, after) in enumerate(pads or []):
            y = y.narrow(axis + 2, before, y.shape[axis + 2] - before - after)
        return y

    return apply


cases(
    "conv",
    three_by_three=(conv(padding=1), normal(2, 3, 6, 5), normal(4, 3, 3, 3)),
    with_bias=(conv(padding=1), normal(2, 3, 6, 5), normal(4, 3, 3, 3), normal(4)),
    one_by_one=(conv(), normal(2, 3, 4, 5), normal(4, 3, 1, 1)),
    stride_2=(conv(stride=2, padding=1), normal(2, 3, 7, 7), normal(4, 3, 3, 3)),
    stride_2_with_a_rest=(conv(stride=2, padding=1), normal(2, 3, 8, 6), normal(4, 3, 3, 3)),
    padded_after_only=(conv([(0, 1), (0, 1)], stride=2), normal(1, 3, 6, 8), normal(4, 3, 3, 3)),
    asymmetric=(conv([(2, 0), (1, 3)], stride=(1, 2)), normal(2, 2, 5, 6), normal(3, 2, 3, 2)),
    dilated=(conv(dilation=2, padding=2), normal(1, 2, 7, 6), normal(3, 2, 3, 3)),
    dilated_with_stride=(conv(dilation=(2, 3), stride=(2, 1), padding=(1, 3)), normal(1, 2, 9, 8), normal(3, 2, 3, 2)),
    groups=(conv(groups=2, padding=1), normal(2, 4, 5, 4), normal(6, 2, 3, 3)),
    depthwise=(conv(groups=4, padding=1, stride=2), normal(2, 4, 5, 6), normal(4, 1, 3, 3)),
    even_kernel=(conv(padding=1), normal(1, 2, 5, 4), normal(3, 2, 2, 4)),
    patches=(conv(stride=4), normal(2, 3, 8, 12), normal(5, 3, 4, 4)),
    kernel_as_large_as_the_picture=(conv(), normal(2, 3, 4, 5), normal(4, 3, 4, 5)),
    wide_padding=(conv(padding=3), normal(1, 2, 3, 4), normal(2, 2, 3, 3)),
    **{"1D": (conv(padding=1), normal(2, 3, 7), normal(4, 3, 3))},
    **{"1D_stride_dilation_groups": (conv(stride=2, dilation=2, groups=3, padding=2), normal(2, 6, 11), normal(3, 2, 3))},
    **{"3D": (conv(padding=1), normal(1, 2, 3, 4, 5), normal(3, 2, 3, 3, 3))},
    **{"3D_stride": (conv([(1, 0), (0, 1), (1, 1)], stride=(1, 2, 2)), normal(1, 2, 3, 6, 5), normal(2, 2, 2, 3, 3))},
    **{
        "3D_wide": (
            conv(padding=(2, 1, 3), groups=2, dilation=(1, 2, 1), stride=(2, 1, 1)),
            normal(1, 4, 3, 4, 3),
            normal(6, 2, 2, 2, 3),
        )
    },
    **{"3D_with_bias": (conv(padding=(0, 1, 1)), normal(2, 2, 3, 4, 3), normal(3, 2, 1, 3, 3), normal(3))},
    # Channels in whole blocks of the CPU kernels' layout, and rows that make whole blocks of columns or do not.
    blocks=(conv(padding=1), normal(1, 16, 5, 6), normal(16, 16, 3, 3)),
    blocks_with_bias=(conv(padding=1), normal(2, 16, 4, 8), normal(32, 16, 3, 3), normal(32)),
    blocks_in_rows_of_16=(conv(padding=1), normal(1, 32, 3, 16), normal(16, 32, 3, 3)),
    blocks_in_rows_of_4=(conv(padding=1), normal(4, 16, 4, 4), normal(16, 16, 3, 3)),
    blocks_stride_2=(conv(padding=1, stride=2), normal(2, 16, 8, 16), normal(16, 16, 3, 3)),
    blocks_stride_2_padded_after=(conv([(0, 1), (0, 1)], stride=2), normal(2, 16, 8, 16), normal(16, 16, 3, 3)),
    blocks_one_by_one=(conv(), normal(2, 16, 4, 8), normal(32, 16, 1, 1)),
    blocks_dilated=(conv(padding=2, dilation=2), normal(2, 16, 5, 8), normal(16, 16, 3, 3)),
    blocks_asymmetric=(conv([(2, 0), (1, 1)]), normal(2, 16, 5, 8), normal(16, 16, 3, 3)),
    blocks_wide_padding=(conv(padding=3), normal(2, 16, 4, 4), normal(16, 16, 3, 3)),
    blocks_mixed_stride=(conv(padding=1, stride=(1, 2)), normal(2, 16, 4, 16), normal(16, 16, 3, 3)),
)
cases(
    "convTranspose",
    three_by_three=(transposed(padding=1), normal(2, 3, 4, 5), normal(3, 4, 3, 3)),
    stride_2=(transposed(stride=2), normal(2, 3, 4, 3), normal(3, 2, 2, 2)),
    output_padding=(transposed(stride=2, padding=1, output_padding=1), normal(2, 3, 4, 3), normal(3, 2, 3, 3)),
    output_padding_3=(transposed(stride=4, padding=2, output_padding=3), normal(1, 2, 3, 3), normal(2, 3, 5, 5)),
    asymmetric=(transposed([(1, 0), (0, 2)], stride=2), normal(1, 2, 4, 5), normal(2, 3, 3, 4)),
    dilated=(transposed(dilation=2, padding=1), normal(1, 2, 5, 4), normal(2, 3, 3, 3)),
    groups=(transposed(groups=2, stride=2, padding=1), normal(2, 4, 4, 4), normal(4, 3, 4, 4)),
    depthwise=(transposed(groups=4, stride=2), normal(1, 4, 3, 4), normal(4, 1, 2, 2)),
    stride_beyond_the_kernel=(transposed(stride=3), normal(1, 2, 3, 3), normal(2, 3, 2, 2)),
    blocks=(transposed(padding=1), normal(2, 16, 4, 8), normal(16, 32, 3, 3)),
    blocks_stride_2=(transposed(padding=1, stride=2), normal(2, 16, 4, 4), normal(16, 16, 4, 4)),
    **{"1D": (transposed(stride=2, padding=1, output_padding=1), normal(2, 3, 5), normal(3, 4, 3))},
    **{"3D": (transposed(stride=(1, 2, 2), padding=(1, 0, 1)), normal(1, 2, 3, 3, 4), normal(2, 3, 3, 2, 3))},
)


def conv_input_grad(size, **options):
    """The gradient of a convolution for its input, itself differentiable in the cotangent and the weight."""

    def apply(g, w):
        x = torch.zeros(size, requires_grad=True)
        return torch.autograd.grad(CONV[x.dim() - 2](x, w, **options), x, g, create_graph=True)[0]

    return apply


def conv_weight_grad(size, **options):
    def apply(x, g):
        w = torch.zeros(size, requires_grad=True)
        return torch.autograd.grad(CONV[x.dim() - 2](x, w, **options), w, g, create_graph=True)[0]

    return apply


cases(
    "convInputGrad",
    same=(conv_input_grad((2, 3, 5, 4), padding=1), normal(2, 4, 5, 4), normal(4, 3, 3, 3)),
    stride_with_a_rest=(conv_input_grad((1, 2, 8, 9), stride=3, padding=1), normal(1, 4, 3, 3), normal(4, 2, 3, 3)),
    groups_and_dilation=(conv_input_grad((2, 4, 7, 6), groups=2, dilation=2, padding=1), normal(2, 6, 5, 4), normal(6, 2, 3, 3)),
)
cases(
    "convWeightGrad",
    same=(conv_weight_grad((4, 3, 3, 3), padding=1), normal(2, 3, 5, 4), normal(2, 4, 5, 4)),
    stride_with_a_rest=(conv_weight_grad((4, 2, 3, 3), stride=3, padding=1), normal(1, 2, 8, 9), normal(1, 4, 3, 3)),
    groups_and_dilation=(conv_weight_grad((6, 2, 3, 3), groups=2, dilation=2, padding=1), normal(2, 4, 7, 6), normal(2, 6, 5, 4)),
    blocks=(conv_weight_grad((16, 16, 3, 3), padding=1), normal(2, 16, 4, 8), normal(2, 16, 4, 8)),
)

# Pools.
AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def pool(table, pads=None, value=0.0, **options):
    def apply(x):
        padded = F.pad(x, [p for pair in reversed(pads) for p in pair], value=value) if pads else x
        return table[x.dim() - 2](padded, **options)

    return apply


def dilated_mean(dilation, kernel):
    def apply(x):
        weight = torch.full((x.shape[1], 1, kernel, kernel), 1 / kernel**2)
        return F.conv2d(x, weight, dilation=dilation, groups=x.shape[1])

    return apply


for group, table, data, value in [("avgPool", AVG, normal, 0.0), ("maxPool", MAX, apart, -math.inf)]:
    cases(
        group,
        tiles=(pool(table, kernel_size=2), data(2, 3, 4, 6)),
        tiles_with_a_rest=(pool(table, kernel_size=2), data(1, 2, 5, 7)),
        overlapping=(pool(table, kernel_size=3, stride=2), data(1, 2, 7, 6)),
        padded=(pool(table, kernel_size=3, stride=2, padding=1), data(1, 2, 6, 5)),
        # As many windows as tiles would give, yet shifted.
        shifted_tiles=(pool(table, [(1, 1), (1, 1)], value, kernel_size=4), data(1, 2, 4, 8)),
        asymmetric=(pool(table, [(1, 0), (0, 2)], value, kernel_size=3, stride=(1, 2)), data(1, 2, 5, 5)),
        oblong=(pool(table, kernel_size=(1, 3), stride=(2, 1)), data(1, 2, 5, 6)),
        gaps=(pool(table, kernel_size=2, stride=3), data(1, 2, 7, 8)),
        **{"1D": (pool(table, kernel_size=3, stride=2, padding=1), data(2, 3, 9))},
        **{"3D": (pool(table, kernel_size=2), data(1, 2, 4, 4, 6))},
        **{"3D_overlapping": (pool(table, kernel_size=(1, 3, 2), stride=(1, 2, 1)), data(1, 2, 2, 5, 4))},
    )
cases("avgPool", dilated=(dilated_mean(2, 3), normal(1, 2, 7, 6)))
cases("maxPool", nan=(pool(MAX, kernel_size=2), lambda g: torch.where(torch.arange(16.0).reshape(1, 1, 4, 4) == 5, math.nan, torch.arange(16.0).reshape(1, 1, 4, 4))), dilated=(pool(MAX, kernel_size=3, stride=1, dilation=2), apart(1, 2, 7, 6)), ties=(pool(MAX, kernel_size=3, stride=1, padding=1), integers(0, 3, 2, 2, 6, 5, dtype=torch.float32)))

# Sizes.
cases(
    "upsample",
    twice=(lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), normal(2, 3, 4, 3)),
    oblong=(lambda x: x.repeat_interleave(3, 2).repeat_interleave(2, 3), normal(1, 2, 3, 4)),
    **{"1D": (lambda x: x.repeat_interleave(3, 2), normal(2, 3, 5))},
    **{"3D": (lambda x: x.repeat_interleave(2, 3).repeat_interleave(2, 4), normal(1, 2, 3, 3, 2))},
    i64=(lambda x: x.repeat_interleave(2, 2), integers(-(2**40), 2**40, 1, 2, 3, 2)),
    bool=(lambda x: x.repeat_interleave(2, 3), booleans(1, 2, 3, 2)),
)
for mode in ("nearest", "bilinear"):
    size = lambda *s, m=mode: lambda x: F.interpolate(x, size=s, mode=m)
    cases(
        "resize",
        **{
            f"{mode}_twice": (size(8, 6), normal(2, 3, 4, 3)),
            f"{mode}_up_to_odd_sizes": (size(7, 11), normal(1, 2, 5, 4)),
            f"{mode}_to_half": (size(4, 3), normal(1, 2, 8, 6)),
            f"{mode}_down_to_odd_sizes": (size(3, 5), normal(1, 2, 7, 9)),
            f"{mode}_up_and_down": (size(9, 3), normal(1, 2, 4, 8)),
            f"{mode}_from_one": (size(3, 4), normal(1, 2, 1, 2)),
            f"{mode}_to_one": (size(1, 1), normal(1, 2, 5, 4)),
            # Sizes at which positions in float32 fall before whole numbers.
            f"{mode}_rounded": (size(82, 174), normal(1, 1, 2, 198)),
        },
    )
cases("resize", **{"linear_1D": (lambda x: F.interpolate(x, size=7, mode="linear"), normal(2, 3, 5))})
cases("resize", **{"trilinear": (lambda x: F.interpolate(x, size=(4, 5, 3), mode="trilinear"), normal(1, 2, 2, 3, 4))})

# Norms.
group_norm = lambda groups, eps=1e-5: lambda x, w, b: F.group_norm(x, groups, w, b, eps)
cases(
    "groupNorm",
    pictures=(group_norm(2), normal(2, 6, 3, 5), normal(6), normal(6)),
    tokens=(group_norm(4, 1e-6), normal(2, 8, 7), normal(8), normal(8)),
    one_group=(group_norm(1), normal(2, 4, 5), normal(4), normal(4)),
    large_epsilon=(group_norm(3, 0.5), normal(2, 3, 7), normal(3), normal(3)),
    off_centre=(lambda x, w, b: F.group_norm(x + 20, 3, w, b, 1e-6), normal(2, 3, 31), normal(3), normal(3)),
    matrix=(group_norm(2), normal(3, 8), normal(8), normal(8)),
    as_many_groups_as_channels=(group_norm(4), normal(2, 4, 3, 3), normal(4), normal(4)),
)
cases(
    "layerNorm",
    tokens=(lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b), normal(2, 3, 7), normal(7), normal(7)),
    matrix=(lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b, 0.1), normal(3, 8), normal(8), normal(8)),
    without_parameters=(lambda x: F.layer_norm(x, x.shape[-1:], eps=1e-6), normal(2, 3, 7)),
    without_bias=(lambda x, w: F.layer_norm(x, x.shape[-1:], w), normal(2, 3, 7), normal(7)),
    off_centre=(lambda x: F.layer_norm(x + 20, x.shape[-1:], eps=1e-6), normal(2, 31)),
)
cases(
    "rmsNorm",
    tokens=(lambda x, w: F.rms_norm(x, x.shape[-1:], w, 1e-6), normal(2, 3, 7), normal(7)),
    without_weight=(lambda x: F.rms_norm(x, x.shape[-1:], eps=1e-5), normal(2, 3, 7)),
    large_epsilon=(lambda x, w: F.rms_norm(x, x.shape[-1:], w, 0.5), normal(3, 8), normal(8)),
)


# Attention.
def attention(heads, scale=None, causal=False):
    def apply(q, k, v, mask=None):
        Q, K, V = (x.reshape(*x.shape[:2], heads, -1).transpose(1, 2) for x in (q, k, v))
        n = q.shape[1]
        if causal:
            upper = torch.full((n, n), -math.inf).triu(1)
            mask = upper if mask is None else mask + upper
        y = F.scaled_dot_product_attention(Q, K, V, attn_mask=mask, scale=scale)
        return y.transpose(1, 2).reshape(q.shape[0], n, -1)

    return apply


def hiding(*rows):
    """A mask of zeros and, where a row has 0, -inf: [1, 1, rows, keys]."""
    return lambda g: torch.tensor([[rows]], dtype=torch.float32).log().detach()


def hiding_pictures(g):
    """Keys hidden by picture, all of them from the second: [2, 1, 1, 4]."""
    return torch.tensor([[[[1.0, 0.0, 1.0, 1.0]]], [[[0.0, 0.0, 0.0, 0.0]]]]).log()


cases(
    "attention",
    one_head=(attention(1), normal(2, 5, 4), normal(2, 5, 4), normal(2, 5, 4)),
    heads=(attention(3), normal(2, 5, 12), normal(2, 5, 12), normal(2, 5, 12)),
    odd_head_width=(attention(2), normal(1, 7, 10), normal(1, 7, 10), normal(1, 7, 10)),
    other_lengths=(attention(2), normal(2, 3, 8), normal(2, 7, 8), normal(2, 7, 8)),
    # With the residual, since the gradients through one key's softmax are 0.
    one_key=(lambda q, k, v: attention(2)(q, k, v) + q * k, normal(2, 3, 8), normal(2, 1, 8), normal(2, 1, 8)),
    other_value_width=(attention(2), normal(2, 5, 8), normal(2, 5, 8), normal(2, 5, 6)),
    a_scale=(attention(2, scale=0.2), normal(2, 5, 8), normal(2, 5, 8), normal(2, 5, 8)),
    long=(attention(2), normal(1, 70, 8), normal(1, 33, 8), normal(1, 33, 8)),
    mask_for_all=(attention(2), normal(2, 4, 8), normal(2, 5, 8), normal(2, 5, 8), normal(1, 1, 4, 5)),
    mask_by_batch=(attention(2), normal(2, 4, 8), normal(2, 5, 8), normal(2, 5, 8), normal(2, 1, 4, 5)),
    mask_by_head=(attention(2), normal(2, 4, 8), normal(2, 5, 8), normal(2, 5, 8), normal(1, 2, 4, 5)),
    mask_by_batch_and_head=(attention(2), normal(2, 4, 8), normal(2, 5, 8), normal(2, 5, 8), normal(2, 2, 4, 5)),
    causal=(attention(2, causal=True), normal(2, 6, 8), normal(2, 6, 8), normal(2, 6, 8)),
    mask_of_keys=(attention(2), normal(2, 4, 8), normal(2, 5, 8), normal(2, 5, 8), normal(1, 1, 1, 5)),
    mask_of_keys_by_batch_and_head=(attention(2, scale=0.7), normal(2, 4, 8), normal(2, 5, 8), normal(2, 5, 6), normal(2, 2, 1, 5)),
    a_query_that_sees_nothing=(attention(2), normal(2, 3, 8), normal(2, 4, 8), normal(2, 4, 8), hiding([0, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1])),
    a_picture_that_sees_nothing=(attention(2), normal(2, 3, 8), normal(2, 4, 8), normal(2, 4, 8), hiding_pictures),
    **{"causal,_and_the_first_key_hidden": (attention(2, causal=True), normal(2, 4, 8), normal(2, 4, 8), normal(2, 4, 8), hiding([0, 1, 1, 1]))},
    causal_with_mask=(attention(2, causal=True), normal(2, 5, 8), normal(2, 5, 8), normal(2, 5, 8), normal(2, 1, 5, 5)),
    **{"self-attention": (lambda x: attention(2)(x, x, x), normal(2, 5, 8))},
)


tensors = {}
for name, (function, draws) in CASES.items():
    generator = torch.Generator().manual_seed(SEED + zlib.crc32(name.encode()))
    inputs = [draw(generator) for draw in draws]
    floating = [x.requires_grad_() for x in inputs if x.is_floating_point()]
    y = function(*inputs)
    for i, x in enumerate(inputs):
        tensors[f"{name}/input{i}"] = x
    tensors[f"{name}/result"] = y
    if not y.is_floating_point() or not floating:
        continue
    cotangent = torch.randn(y.shape, generator=generator).to(y.dtype)
    tensors[f"{name}/cotangent"] = cotangent
    gradients = torch.autograd.grad(y, floating, cotangent, allow_unused=True) if y.requires_grad else [None] * len(floating)
    for i, x in enumerate(inputs):
        if x.is_floating_point():
            gradient = gradients[next(k for k, f in enumerate(floating) if f is x)]
            tensors[f"{name}/gradient{i}"] = torch.zeros_like(x) if gradient is None else gradient

path = Path(__file__).parent / "fixtures" / "operations.safetensors"
metadata = {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability(), "seed": str(SEED), "cases": json.dumps(list(CASES))}
save_file({key: x.detach().clone().contiguous() for key, x in tensors.items()}, path, metadata=metadata)
print(f"{len(CASES)} cases, {path.stat().st_size} bytes")
