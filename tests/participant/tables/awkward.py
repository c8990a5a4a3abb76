"""Awkward tables, made and small: what each is, and whether it is read (and how many rows) or refused, and how said."""

import gzip
import re
from typing import NamedTuple

PUBLIC = {
    "patient",
    "age",
    "sex",
    "ill",
    "surname",
    "note",
    "sep=",
}  # the contract's names; all the rest of a file is a patient's


class Awkward(NamedTuple):
    """`rows` are read; where None it is refused, and message and hint hold `said`. `share`: bad_records_max."""

    name: str
    content: bytes
    rows: int | None = None
    said: str = ""
    options: dict[str, str] = {}  # noqa: RUF012  # nobody writes to it
    share: float = 0.0


def table(header: str, *rows: str) -> str:
    return "".join(line + "\n" for line in (header, *rows))


def ward(*rows: str) -> str:
    return table("patient,age,sex,ill", *rows)


ROWS = [f"PXQ{n}44,{40 + n}.8471,{'FM'[n % 2]},{n % 2}" for n in range(20)]
GOOD = ward(*ROWS)
GERMAN = GOOD.replace(",", ";").replace(".", ",")
NAMED = table(
    "patient,surname,age,sex,ill,note",
    *(f'PXQ{n}44,"Mueller-Luedenscheidt, K.",50.8471,F,1,fell down' for n in range(20)),
)
OPEN_QUOTE = ward(*ROWS[:10], 'PXQ944,"30.8471,F,0', *ROWS[10:])

OLDEST = [f"PXQ9{n}44,{'> 89.8471' if n % 2 else '301.8471'},F,1" for n in range(4)]

TABLES = [
    Awkward("text that nobody reads", NAMED.encode(), 20),
    Awkward("identifiers that are text", GOOD.encode(), 20),
    Awkward(
        "no header line",
        table("PXQ300044,Mueller-Luedenscheidt,44.8471,1", "PXQ300144,Itokawa,45.8471,0").encode(),
        None,
        "no header line",
    ),
    Awkward(
        "two columns of one name",
        table("patient,age,sex,ill,age", "PXQ1,50.8471,F,1,51.8471").encode(),
        None,
        "more than one column age",
    ),
    Awkward(
        "numbers as programmers write them",
        ward("PXQ1,5_0,F,1", "PXQ2,0x2A84,M,0", "PXQ3,50.8471,F,1").encode(),
        None,
        "2 of 3 rows are not numbers",
    ),
    Awkward("a quote that is not closed", OPEN_QUOTE.encode(), None, "11 of 21 records", share=0.1),
    Awkward("a byte order mark", b"\xef\xbb\xbf" + GOOD.encode(), 20),
    Awkward("semicolons and decimal commas, unsaid", GERMAN.encode(), None, 'delimiter = ";", decimal = ","'),
    Awkward("semicolons and decimal commas", GERMAN.encode(), 20, options={"delimiter": ";", "decimal": ","}),
    Awkward("tabs, unsaid", GOOD.replace(",", "\t").encode(), None, 'delimiter = "tab"'),
    Awkward("latin-1, unsaid", NAMED.replace("ue", "ü").encode("latin-1"), None, "encoding"),
    Awkward("latin-1", NAMED.replace("ue", "ü").encode("latin-1"), 20, options={"encoding": "latin-1"}),
    Awkward("the oldest, all ill", ward(*ROWS, *OLDEST).encode(), 20, share=0.2),
    # ten more
    Awkward(
        "a workbook under a table's name", b"PK\x03\x04" + GOOD.encode(), None, "save it from the spreadsheet as CSV"
    ),
    Awkward("a compressed table", gzip.compress(GOOD.encode()), None, "compressed"),
    Awkward("a spreadsheet's Unicode text", GOOD.replace(",", "\t").encode("utf-16"), None, 'encoding = "utf-16"'),
    Awkward(
        "a spreadsheet's Unicode text, said",
        GOOD.replace(",", "\t").encode("utf-16"),
        20,
        options={"encoding": "utf-16", "delimiter": "tab"},
    ),
    Awkward(
        "a spreadsheet's first line", b"sep=;\r\n" + GERMAN.encode(), 20, options={"delimiter": ";", "decimal": ","}
    ),
    Awkward("empty columns at the end", "".join(line + ",,,\n" for line in GOOD.splitlines()).encode(), 20),
    Awkward("line breaks in a note", NAMED.replace("fell down", '"fell down\nat home"').encode(), 20),
    Awkward(
        "a quote that closes in another row",
        ward(*ROWS, 'PXQ98,"60.8471,F,1', 'PXQ97,"61.8471,M,1').encode(),
        20,
        share=0.2,
    ),
    Awkward(
        "capital letters in the header",
        GOOD.replace("patient,age", "Patient,AGE").encode(),
        None,
        "column patient, age is written otherwise",
    ),
    Awkward("thousands separated", ward('PXQ1,"1,050.8471",F,1').encode(), None, "not numbers"),
    Awkward("words for no number", ward("PXQ1,nan,F,1", "PXQ2,Infinity,M,1").encode(), None, "not numbers"),
    Awkward("digits of another script", ward("PXQ1,٤٢٤٢٤,F,1").encode(), None, "not numbers"),
    Awkward(
        "a line of totals", (GOOD + "Total of all,1010.8471\n").encode(), None, "1 of 21 lines do not have 4 fields"
    ),
    Awkward("a database's NULL", ward("PXQ1,50.8471,NULL,1").encode(), None, "option `missing`"),
    Awkward("a database's NULL, said", ward("PXQ1,50.8471,NULL,1").encode(), 1, options={"missing": "NULL"}),
    Awkward("nothing at all", b"", None, "no header line"),
    Awkward("a header line alone", ward().encode(), None, "0 rows, at least 1"),
    Awkward("an old computer's line ends", GOOD.replace("\n", "\r").encode(), 20),
    Awkward(
        "a cell of 200,000 letters",
        table(
            "patient,age,sex,ill,note", *(f"{row},fine" for row in ROWS), "PXQ91,50.8471,F,1," + "wordsalad" * 22_000
        ).encode(),
        20,
        share=0.2,
    ),
    Awkward("age with its unit", ward("PXQ1,50.8 years,F,1").encode(), None, "not numbers"),
    Awkward(
        "words that are not those of the contract", ward("PXQ1,50.8471,female,1").encode(), None, "are none of F, M"
    ),
]


def cells(one: Awkward) -> set[str]:
    """What must never be told: everything in the file of four letters or more that no contract names."""
    content = (
        gzip.decompress(one.content) if one.content[:2] == b"\x1f\x8b" else one.content.removeprefix(b"PK\x03\x04")
    )
    encodings = ("utf-16", "utf-8-sig") if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "latin-1")
    found: set[str] = set()
    for encoding in encodings:
        found |= {cell.strip() for cell in re.split(r'[\n\r\t;",|]', content.decode(encoding, "ignore"))}
    short = re.compile(r"[0-9]{0,5}|.{0,3}")  # a time or a port may hold as few digits by chance
    return {cell[:40] for cell in found if not short.fullmatch(cell) and cell.casefold() not in PUBLIC}
