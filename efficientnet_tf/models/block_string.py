"""The block-string language: one stage of a network as text, decoded and encoded strictly.

`r1_k3_s11_e1_i32_o16_se0.25` is one stage of mobile inverted bottlenecks (MBConv):

    token    meaning                                              required  default
    r<int>   repeats, before depth scaling                        yes
    k<int>   square kernel size                                   yes
    s<d><d>  row and column stride of the first repeat            yes
    e<int>   expansion ratio                                      yes
    i<int>   input filters, before width scaling                  yes
    o<int>   output filters, before width scaling                 yes
    c<0|1>   0: MBConv; 1: fused, a full convolution in place     no        c0
             of the 1x1 expansion and the depthwise convolution
    se<num>  squeeze-and-excitation ratio, in (0, 1]              no        no SE
    noskip   no residual connection                               no        residual

Differences from the official parser: it skips tokens it does not know, finds `noskip` and `cc`
anywhere in the string, and accepts combinations it then ignores (`c1` with `se`, a stride that a
`c1_e1` block loses). Here each of these is an error. Its fused block is always 3x3; ours has the
kernel of its `k` token. `f0` and `d0`, which the official encoder writes for "off", are accepted;
other `f`, `d`, `a` and `cc` tokens belong to EfficientNet-X and CondConv, which are not built here.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from efficientnet_tf.errors import UsageError

_TOKEN = re.compile(r"(?P<key>[a-z]+)(?P<value>[0-9]+(?:\.[0-9]+)?)?")
_REQUIRED = {
    "r": "repeats",
    "k": "kernel size",
    "s": "strides",
    "e": "expansion ratio",
    "i": "input filters",
    "o": "output filters",
}
_DIGITS = 7  # of a number that is too large for any network
_OTHER_FAMILIES = {"f": "EfficientNet-X", "d": "EfficientNet-X", "a": "EfficientNet-X"}


@dataclass(frozen=True)
class BlockArgs:
    """One stage: `num_repeat` blocks, of which the first has the strides and the input filters.

    Attributes:
        num_repeat: blocks in the stage before depth scaling, at least 1.
        kernel_size: side of the square kernel, at least 1.
        strides: (row, column) stride of the first block, each 1 to 9.
        expand_ratio: hidden filters over input filters, at least 1.
        input_filters: filters of the stage's input before width scaling.
        output_filters: filters of the stage's output before width scaling.
        se_ratio: squeezed filters over *input* filters of the block, or None for no SE.
        id_skip: whether blocks that keep shape add their input to their output.
        conv_type: 0 for MBConv, 1 for the fused block of EfficientNet-EdgeTPU.
    """

    num_repeat: int
    kernel_size: int
    strides: tuple[int, int]
    expand_ratio: int
    input_filters: int
    output_filters: int
    se_ratio: float | None = None
    id_skip: bool = True
    conv_type: int = 0


def _fail(string: str, problem: str) -> UsageError:
    return UsageError(
        f'block string "{string}": {problem}. '
        'A block string looks like "r2_k3_s22_e6_i16_o24_se0.25".'
    )


def _split(string: str) -> dict[str, str]:
    """Tokens as {key: value text}; refuses what is no token, unknown or given twice."""
    found: dict[str, str] = {}
    for token in string.split("_"):
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise _fail(string, f'"{token}" is not a token (a key, then a number)')
        key, value = match["key"], match["value"]
        if key in found:
            raise _fail(string, f'token "{token}" gives "{key}" a second time')
        if key == "noskip":
            if value is not None:
                raise _fail(string, f'token "{token}": "noskip" takes no number')
        elif key == "cc":
            raise _fail(string, f'token "{token}" belongs to CondConv, which is not built here')
        elif key in _OTHER_FAMILIES:
            if key == "a" or value != "0":
                family = _OTHER_FAMILIES[key]
                raise _fail(string, f'token "{token}" belongs to {family}, which is not built here')
        elif key not in _REQUIRED and key not in ("se", "c"):
            known = ", ".join([*_REQUIRED, "c", "se", "noskip"])
            raise _fail(string, f'unknown token "{token}"; known are {known}')
        elif value is None:
            raise _fail(string, f'token "{token}" lacks its number')
        found[key] = value or ""
    return found


def decode(string: str) -> BlockArgs:
    """Decodes one block string.

    Raises:
        UsageError: a token is unknown, malformed, missing, given twice or out of range; the
            message names the string and the token.
    """
    if not isinstance(string, str):
        raise UsageError(
            f"a block string must be a str, received {string!r} of type {type(string).__name__}. "
            "Give blocks_args such as r1_k3_s11_e1_i32_o16_se0.25."
        )
    found = _split(string)
    for key, meaning in _REQUIRED.items():
        if key not in found:
            raise _fail(string, f'token "{key}" ({meaning}) is missing')
    if not re.fullmatch(r"[1-9][1-9]", found["s"]):
        raise _fail(string, f'token "s{found["s"]}" must have two digits from 1 to 9')
    numbers = {}
    for key in "rkeio":
        if not found[key].isdigit() or int(found[key][:_DIGITS]) < 1:
            raise _fail(string, f'token "{key}{found[key]}" must have a whole number of at least 1')
        if len(found[key]) >= _DIGITS:
            raise _fail(string, f'token "{key}{found[key]}" must be below {10 ** (_DIGITS - 1):,}')
        numbers[key] = int(found[key])
    se_ratio = None
    if "se" in found:
        se_ratio = float(found["se"])
        if not 0 < se_ratio <= 1:
            raise _fail(
                string, f'token "se{found["se"]}" must lie in (0, 1]; leave it out for no SE'
            )
    conv_type = found.get("c", "0")
    if conv_type not in ("0", "1"):
        raise _fail(string, f'token "c{conv_type}" must be c0 (MBConv) or c1 (fused)')
    if conv_type == "1" and se_ratio is not None:
        raise _fail(string, f'token "se{found["se"]}" has no meaning in a fused (c1) block')
    if conv_type == "1" and numbers["e"] == 1 and found["s"] != "11":
        raise _fail(string, f'token "s{found["s"]}" is lost: a c1_e1 block has no strided conv')
    return BlockArgs(
        num_repeat=numbers["r"],
        kernel_size=numbers["k"],
        strides=(int(found["s"][0]), int(found["s"][1])),
        expand_ratio=numbers["e"],
        input_filters=numbers["i"],
        output_filters=numbers["o"],
        se_ratio=se_ratio,
        id_skip="noskip" not in found,
        conv_type=int(conv_type),
    )


def encode(args: BlockArgs) -> str:
    """The canonical string of a stage: `decode(encode(args)) == args`."""
    tokens = [
        f"r{args.num_repeat}",
        f"k{args.kernel_size}",
        f"s{args.strides[0]}{args.strides[1]}",
        f"e{args.expand_ratio}",
        f"i{args.input_filters}",
        f"o{args.output_filters}",
    ]
    if args.conv_type:
        tokens.append(f"c{args.conv_type}")
    if args.se_ratio is not None:
        # A plain decimal: the language has no exponents ("1e-05").
        tokens.append(f"se{Decimal(str(args.se_ratio)):f}")
    if not args.id_skip:
        tokens.append("noskip")
    return "_".join(tokens)


def decode_all(strings: Iterable[str]) -> tuple[BlockArgs, ...]:
    """Decodes the stages of a network, in order; at least one."""
    if isinstance(strings, str):
        raise UsageError(
            f'blocks_args must be a list of block strings, received the single string "{strings}".'
        )
    stages = tuple(decode(string) for string in strings)
    if not stages:
        raise UsageError("blocks_args must hold at least one block string, received none.")
    return stages
