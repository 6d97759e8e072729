"""Plain content of every kind, as the conformance suite wants it back."""

import base64
import struct
import zlib
from typing import Any

import mcp_types as types


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00"))
    + _chunk(b"IEND", b"")
).decode()
WAV = base64.b64encode(
    b"RIFF" + struct.pack("<I", 38) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    + b"data" + struct.pack("<I", 2) + b"\x80\x80"
).decode()  # fmt: skip


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def answer(*content: dict[str, Any], **more: Any) -> types.CallToolResult:
    return types.CallToolResult.model_validate({"content": list(content)} | more)


PLAIN: dict[str, types.CallToolResult] = {
    "test_simple_text": answer(text("This is a simple text response for testing.")),
    "test_image_content": answer({"type": "image", "data": PNG, "mimeType": "image/png"}),
    "test_audio_content": answer({"type": "audio", "data": WAV, "mimeType": "audio/wav"}),
    "test_embedded_resource": answer(
        {
            "type": "resource",
            "resource": {
                "uri": "test://embedded-resource",
                "mimeType": "text/plain",
                "text": "This is an embedded resource content.",
            },
        }
    ),
    "test_multiple_content_types": answer(
        text("Multiple content types test:"),
        {"type": "image", "data": PNG, "mimeType": "image/png"},
        {
            "type": "resource",
            "resource": {
                "uri": "test://mixed-content-resource",
                "mimeType": "application/json",
                "text": '{"test":"data","value":123}',
            },
        },
    ),
    "test_error_handling": answer(text("This tool intentionally returns an error for testing"), isError=True),
}
