"""The six-bit armour of AIS payloads (NMEA 0183, IEC 61162-1): characters to one long number and back."""

from binascii import Error as BinasciiError
from binascii import a2b_base64

from skywarden.errors import WireError

MAX_CHARACTERS = 400
"""Five slots of a radio message are 1,064 bits: 178 characters; some talkers pad."""

_ALPHABET = b"0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVW`abcdefghijklmnopqrstuvw"
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_BASE64 = bytes(
    _BASE64[_ALPHABET.index(letter)] if letter in _ALPHABET else ord("!") for letter in range(256)
)
"""What stands for no six bits becomes a mark that base64 refuses."""
_TEXT = "@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_ !\"#$%&'()*+,-./0123456789:;<=>?"
_PADDING = (b"", b"AAA", b"AA", b"A")


def unarmour(payload: bytes, fill: int) -> tuple[int, int]:
    """The bits of a payload as one number, first bit highest, and how many they are.

    `fill` bits (0 to 5) at the end are padding. The detour over base64, whose alphabet also has 64 letters,
    lets C do the work: a character at a time costs ten times as much. Raises `WireError`.
    """
    length = len(payload)
    if not 0 < length <= MAX_CHARACTERS:
        raise WireError(f"an AIS payload of {length} characters is none (1 to {MAX_CHARACTERS})")
    if not 0 <= fill <= 5:
        raise WireError(f"{fill} bits of padding are not 0 to 5")
    padding = _PADDING[length % 4]
    try:
        whole = a2b_base64(payload.translate(_TO_BASE64) + padding, strict_mode=True)
    except BinasciiError as error:
        raise WireError("an AIS payload has characters that stand for no six bits") from error
    number = int.from_bytes(whole, "big")
    return number >> (6 * len(padding) + fill), 6 * length - fill


def armour(number: int, bits: int) -> tuple[bytes, int]:
    """`bits` bits as characters, and how many bits of padding the last one has; the inverse of `unarmour`."""
    fill = -bits % 6
    number <<= fill
    count = (bits + fill) // 6
    return bytes(_ALPHABET[number >> 6 * (count - 1 - place) & 63] for place in range(count)), fill


def text_of(number: int, bits: int) -> str:
    """Six-bit ASCII (ITU-R M.1371-5, table 47) of `bits` bits, up to the first `@`, spaces behind dropped."""
    letters = "".join(_TEXT[number >> shift & 63] for shift in range(bits - 6, -1, -6))
    return letters.partition("@")[0].rstrip()


def text_bits(text: str, characters: int) -> int:
    """`text` as `characters` six-bit letters, `@` behind it; letters that there are not become `?`."""
    number = 0
    for letter in text.upper()[:characters].ljust(characters, "@"):
        number = number << 6 | max(0, _TEXT.find(letter) if letter in _TEXT else _TEXT.find("?"))
    return number


def checksum(body: bytes) -> int:
    """NMEA's: all bytes between the start sign and `*`, exclusive-or'ed (folded in halves: six steps)."""
    number = int.from_bytes(body, "little")
    shift = 256
    while shift * 2 < 8 * len(body):
        shift *= 2
    while shift >= 8:
        number ^= number >> shift
        shift >>= 1
    return number & 0xFF
