"""The Chinese README shows the same commands, the same output and the same links as the English one."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
SPAN = re.compile(r"`[^`\n]*(?:wardround |make )[^`\n]*`")
ENGLISH, CHINESE = ((ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md"))


def test_every_block_is_the_same() -> None:
    assert FENCE.findall(CHINESE) == FENCE.findall(ENGLISH)


def test_every_link_is_there_in_the_same_order() -> None:
    other = {"README.md", "README.zh-CN.md"}
    links = [[link for link in LINK.findall(text) if link not in other] for text in (CHINESE, ENGLISH)]
    assert links[0] == links[1]


def test_every_command_in_the_text_is_the_same() -> None:
    assert sorted(SPAN.findall(FENCE.sub("", CHINESE))) == sorted(SPAN.findall(FENCE.sub("", ENGLISH)))


def test_both_have_the_same_headings_and_name_each_other() -> None:
    levels = [re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE) for text in (CHINESE, ENGLISH)]
    assert levels[0] == levels[1]
    assert "(README.zh-CN.md)" in ENGLISH
    assert "(README.md)" in CHINESE


def test_its_lines_can_be_read() -> None:
    assert [line for line in FENCE.sub("", CHINESE).splitlines() if len(line) > 110 and not line.startswith("|")] == []
