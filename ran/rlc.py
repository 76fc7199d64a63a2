"""RLC: segmentation, headers, status reports; byte-exact delivery (AM) or delivery with gaps (UM)."""

import zlib
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from channel.component import Settings


class Rlc(Settings):
    """RLC (TS 38.322) with 18-bit sequence numbers over MAC sub-PDUs (TS 38.321 clause 6.1.2).

    Acknowledged mode sends again what HARQ gave up; unacknowledged mode loses it, and the gap reaches the payload.
    """

    mode: Literal["am", "um"] = Field(
        default="am", description="am: nothing is lost, at the price of delay; um: what HARQ gives up is lost"
    )
    sdu_bytes: int = Field(
        default=1500, ge=240, le=9000, description="bytes of one RLC SDU (an IP packet and its PDCP header)"
    )
    packet_header_bytes: int = Field(
        default=31, ge=0, le=200, description="PDCP (3) and UDP/IPv4 (28) header bytes of every SDU"
    )
    status_slots: int = Field(
        default=20, ge=0, le=2000, description="slots from a final HARQ failure to the status report that reveals it"
    )
    give_up_s: float = Field(
        default=30.0, gt=0.0, le=1e5, description="age at which a transfer is abandoned: the radio link failed, s"
    )

    def packetise(self, payload: bytes) -> bytes:
        """Return the row of SDUs that carries ``payload``: before each piece a header with its index and CRC-32.

        The header stands for PDCP and UDP/IP; it is ``packet_header_bytes`` long, the SDU ``sdu_bytes`` at most.
        """
        piece = self.sdu_bytes - self.packet_header_bytes
        out = bytearray()
        for index, start in enumerate(range(0, len(payload), piece)):
            part = payload[start : start + piece]
            out += _header(index, part, self.packet_header_bytes)
            out += part
        return bytes(out)

    def reassemble(self, sdus: bytes) -> bytes:
        """Return the payload of a row of SDUs; raise AssertionError where a header does not match its piece."""
        return self.reassemble_with_gaps(sdus, ())[0]

    def reassemble_with_gaps(
        self, sdus: bytes, lost: Sequence[tuple[int, int]]
    ) -> tuple[bytes, list[tuple[int, int]]]:
        """Return the payload with zeros for every SDU that lost a byte, and the gaps (start, stop) in it, in order.

        ``lost`` are ranges (start, stop) of the row of SDUs. An SDU of which any byte is missing is discarded
        (TS 38.322 clause 5.2.2.2: t-Reassembly expires).
        """
        piece = self.sdu_bytes - self.packet_header_bytes
        broken = {index for start, stop in lost for index in range(start // self.sdu_bytes, -(-stop // self.sdu_bytes))}
        out, gaps = bytearray(), []
        for index, start in enumerate(range(0, len(sdus), self.sdu_bytes)):
            sdu = sdus[start : start + self.sdu_bytes]
            part = sdu[self.packet_header_bytes :]
            if index in broken:
                begin = index * piece
                if gaps and gaps[-1][1] == begin:
                    begin = gaps.pop()[0]
                gaps.append((begin, index * piece + len(part)))
                part = bytes(len(part))
            else:
                assert sdu[: self.packet_header_bytes] == _header(index, part, self.packet_header_bytes), (
                    f"SDU {index} is corrupt"
                )
            out += part
        return bytes(out), gaps


def _header(index: int, part: bytes, length: int) -> bytes:
    return (index.to_bytes(4, "little") + zlib.crc32(part).to_bytes(4, "little")).ljust(length, b"\0")[:length]
