# SPDX-License-Identifier: Apache-2.0
"""Make two texts of The Debian Administrator's Handbook: to calibrate on, and to measure with.

usage: handbook.py FOLDER

Takes the Debian package debian-handbook, whose texts are free (CC BY-SA 3.0 or GPL 2 and later).
Writes FOLDER/calibration.txt and FOLDER/heldout.txt, which is every fifth page: paragraphs
without headings and listings.
"""

import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

PACKAGE = "debian-handbook"
PAGES = "usr/share/doc/debian-handbook/html/en-US"


class Prose(HTMLParser):
    """Collects the paragraphs of a page, which are those texts that have a few words."""

    WITHIN = ("a", "abbr", "code", "em", "i", "span", "strong", "sup")
    LEFT_OUT = ("head", "pre", "script", "style")
    WORDS = 8

    def __init__(self) -> None:
        super().__init__()
        self.paragraphs: list[str] = []
        self._text = ""
        self._left_out = 0

    def _break(self, tag: str, deeper: int) -> None:
        if tag not in self.WITHIN:
            words = self._text.split()
            if len(words) >= self.WORDS:
                self.paragraphs.append(" ".join(words))
            self._text = ""
        if tag in self.LEFT_OUT:
            self._left_out += deeper

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._break(tag, 1)

    def handle_endtag(self, tag: str) -> None:
        self._break(tag, -1)

    def handle_data(self, data: str) -> None:
        if not self._left_out:
            self._text += data


def prose(page: Path) -> str:
    parser = Prose()
    parser.feed(page.read_text(encoding="utf-8"))
    return "\n\n".join(parser.paragraphs)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run(
            ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", PACKAGE],
            cwd=temporary,
            check=True,
        )
        archive = next(Path(temporary).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", archive, temporary], check=True)
        pages = sorted((Path(temporary) / PAGES).glob("*.html"))
        texts = [prose(page) for page in pages if page.name != "index.html"]
    (folder / "heldout.txt").write_text("\n\n".join(texts[::5]) + "\n", encoding="utf-8")
    del texts[::5]
    (folder / "calibration.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
