"""The block-string language: what is read, what is written, what is refused."""

import random
from dataclasses import replace

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.block_string import BlockArgs, decode, decode_all, encode
from efficientnet_tf.models.variants import B0_BLOCKS, EDGETPU_BLOCKS, LITE_BLOCKS, VARIANTS

MBCONV = "r2_k3_s22_e6_i16_o24_se0.25"
FUSED = "r2_k3_s22_e8_i24_o32_c1"
FAMILY = sorted({string for variant in VARIANTS.values() for string in variant.blocks_args})


def test_every_field_is_read():
    assert decode("r4_k5_s21_e6_i112_o192_se0.25_noskip") == BlockArgs(
        num_repeat=4,
        kernel_size=5,
        strides=(2, 1),
        expand_ratio=6,
        input_filters=112,
        output_filters=192,
        se_ratio=0.25,
        id_skip=False,
        conv_type=0,
    )


def test_what_may_be_left_out_has_the_defaults_of_the_official_parser():
    args = decode("r1_k3_s11_e1_i32_o16")
    assert (args.se_ratio, args.id_skip, args.conv_type) == (None, True, 0)


def test_a_fused_block_is_read():
    assert decode(FUSED).conv_type == 1


def test_tokens_may_come_in_any_order():
    tokens = MBCONV.split("_")
    random.Random(5).shuffle(tokens)
    assert decode("_".join(tokens)) == decode(MBCONV)


@pytest.mark.parametrize("string", FAMILY)
def test_the_family_strings_are_canonical(string):
    assert encode(decode(string)) == string


def test_the_lite_strings_are_those_of_b0_without_squeeze_and_excitation():
    without = tuple(replace(decode(string), se_ratio=None) for string in B0_BLOCKS)
    assert decode_all(LITE_BLOCKS) == without


@pytest.mark.parametrize("suffix", ["c0_f0_d0", "f0", "d0"])
def test_switched_off_tokens_of_the_official_encoder_are_accepted(suffix):
    assert decode(f"r2_k3_s22_e6_i16_o24_{suffix}_se0.25") == decode(MBCONV)


def test_the_official_form_of_a_fused_block_is_accepted():
    official = "r1_k3_s11_e4_i24_o24_c1_f0_d0_noskip"
    assert decode(official) == decode(EDGETPU_BLOCKS[0])


def _random_args(generator: random.Random) -> BlockArgs:
    args = BlockArgs(
        num_repeat=generator.randint(1, 40),
        kernel_size=generator.choice([1, 2, 3, 5, 7, 11]),
        strides=(generator.randint(1, 9), generator.randint(1, 9)),
        expand_ratio=generator.randint(1, 12),
        input_filters=generator.randint(1, 5000),
        output_filters=generator.randint(1, 5000),
        se_ratio=generator.choice([None, 1.0, 0.25, generator.uniform(1e-9, 1), 1e-05]),
        id_skip=generator.random() < 0.5,
    )
    if generator.random() < 0.3:
        fused = replace(args, conv_type=1, se_ratio=None)
        return replace(fused, strides=(1, 1)) if fused.expand_ratio == 1 else fused
    return args


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_is_read_back(seed):
    generator = random.Random(seed)
    for _ in range(50):
        args = _random_args(generator)
        assert decode(encode(args)) == args


BAD = {
    "r2_k3_s22_e6_i16_o24_z9": '"z9"; known are r, k, s, e, i, o, c, se, noskip',
    "r2_k3_s22_e6_i16_o24_skip": '"skip"',
    "r2_k3_s22_e6_i16_o24_SE0.25": '"SE0.25" is not a token',
    "r2_k3_s22_e6_i16_o24_se.25": '"se.25" is not a token',
    "r2_k3_s22_e6_i16_o24_se-0.25": '"se-0.25" is not a token',
    "r2__k3_s22_e6_i16_o24": '"" is not a token',
    "": '"" is not a token',
    " r2_k3_s22_e6_i16_o24": '" r2" is not a token',
    "r2_k3_s22_e6_i16_o24_r2": 'token "r2" gives "r" a second time',
    "r2_k3_s22_e6_i16_o24_noskip_noskip": 'token "noskip" gives "noskip" a second time',
    "r2_k3_s22_e6_i16_o24_noskip1": 'token "noskip1": "noskip" takes no number',
    "r2_k3_s22_e6_i16_o24_cc": 'token "cc" belongs to CondConv',
    "r2_k3_s22_e6_i16_o24_a0": 'token "a0" belongs to EfficientNet-X',
    "r2_k3_s22_e6_i16_o24_f1": 'token "f1" belongs to EfficientNet-X',
    "r2_k3_s22_e6_i16_o24_d2": 'token "d2" belongs to EfficientNet-X',
    "r_k3_s22_e6_i16_o24": 'token "r" lacks its number',
    "r2_k3_s22_e6_i16_o24_se": 'token "se" lacks its number',
    "k3_s22_e6_i16_o24": 'token "r" (repeats) is missing',
    "r2_s22_e6_i16_o24": 'token "k" (kernel size) is missing',
    "r2_k3_e6_i16_o24": 'token "s" (strides) is missing',
    "r2_k3_s22_i16_o24": 'token "e" (expansion ratio) is missing',
    "r2_k3_s22_e6_o24": 'token "i" (input filters) is missing',
    "r2_k3_s22_e6_i16": 'token "o" (output filters) is missing',
    "r2_k3_s2_e6_i16_o24": 'token "s2" must have two digits from 1 to 9',
    "r2_k3_s222_e6_i16_o24": 'token "s222" must have two digits from 1 to 9',
    "r2_k3_s10_e6_i16_o24": 'token "s10" must have two digits from 1 to 9',
    "r0_k3_s22_e6_i16_o24": 'token "r0" must have a whole number of at least 1',
    "r2_k0_s22_e6_i16_o24": 'token "k0" must have a whole number of at least 1',
    "r2_k3_s22_e0_i16_o24": 'token "e0" must have a whole number of at least 1',
    "r2_k3_s22_e1.5_i16_o24": 'token "e1.5" must have a whole number of at least 1',
    "r2_k3_s22_e6_i0_o24": 'token "i0" must have a whole number of at least 1',
    "r2_k3_s22_e6_i16_o0": 'token "o0" must have a whole number of at least 1',
    "r2_k3_s22_e6_i16_o24_se0": 'token "se0" must lie in (0, 1]; leave it out for no SE',
    "r2_k3_s22_e6_i16_o24_se1.5": 'token "se1.5" must lie in (0, 1]',
    "r2_k3_s22_e6_i16_o24_c2": 'token "c2" must be c0 (MBConv) or c1 (fused)',
    "r2_k3_s22_e6_i16_o24_c1_se0.25": 'token "se0.25" has no meaning in a fused (c1) block',
    "r2_k3_s21_e1_i16_o24_c1": 'token "s21" is lost: a c1_e1 block has no strided conv',
}


@pytest.mark.parametrize("string", BAD)
def test_a_bad_string_is_refused_with_string_token_and_example(string):
    with pytest.raises(UsageError) as error:
        decode(string)
    message = str(error.value)
    assert f'block string "{string}"' in message
    assert BAD[string] in message
    assert message.endswith('A block string looks like "r2_k3_s22_e6_i16_o24_se0.25".')


def test_what_is_no_string_is_refused():
    with pytest.raises(UsageError, match=r"must be a str, received 3 of type int\."):
        decode(3)


def test_stages_are_decoded_in_order():
    assert decode_all(iter([MBCONV, FUSED])) == (decode(MBCONV), decode(FUSED))


def test_a_single_string_is_not_a_network():
    with pytest.raises(UsageError, match=f'list of block strings, received .*"{MBCONV}"'):
        decode_all(MBCONV)


def test_a_network_needs_a_stage():
    with pytest.raises(UsageError, match="at least one block string, received none"):
        decode_all([])


def test_one_bad_stage_spoils_the_network():
    with pytest.raises(UsageError, match='token "k" .kernel size. is missing'):
        decode_all([MBCONV, "r1_s11_e6_i24_o40"])
