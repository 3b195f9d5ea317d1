"""The word lists of antonyms and categories: words of our choice, with what WordNet 3.0 says of them."""

from __future__ import annotations

from pgsrm_lab.tasks.make.wordnet import WordNet
from pgsrm_plugin.errors import DataError

HEADWORDS = {
    "a": (
        "different new young old large small hot cold high low easy difficult good bad late full empty "
        "thick thin fast slow rich poor wet dry wide narrow weak strong sharp tight dirty clean true false "
        "awake asleep expensive cheap safe dangerous smooth rough tall guilty innocent public private warm cool "
        "foreign domestic busy many first best rural"
    ),
    "v": "give come begin buy sell remember forget push pull laugh love hate reject succeed attack borrow lend freeze",
    "n": "night day question answer war peace pleasure pain king queen victory defeat success birth wealth wife",
    "r": "quickly slowly often",
}
"""The words that are asked for, by the part of speech in which WordNet is asked."""

CATEGORIES = {
    "animal": "dog cat horse lion tiger rabbit elephant bear wolf sheep",
    "fruit": "apple banana cherry peach grape lemon mango plum pear strawberry",
    "vegetable": "carrot onion cabbage spinach broccoli lettuce potato celery cucumber cauliflower",
    "tool": "hammer saw shovel rake drill wrench chisel screwdriver pliers axe",
    "vehicle": "car truck bicycle bus boat ship van motorcycle tractor ambulance",
    "clothing": "shirt coat jacket skirt dress pants sweater sock scarf glove",
    "furniture": "chair table sofa desk bed bookcase wardrobe cabinet stool bench",
    "weapon": "sword rifle pistol spear cannon dagger revolver missile bow gun",
    "building": "house school hotel church hospital temple library barn theater skyscraper",
    "metal": "iron copper aluminum zinc nickel tin mercury titanium platinum chromium",
}
"""The nouns that are asked for, under the category that WordNet must give for each."""


def antonyms(wordnet: WordNet) -> list[tuple[str, str]]:
    """Each headword with the antonym of its commonest sense that has one.

    Raises:
        DataError: WordNet has no antonym of one word for it.
    """
    rows = []
    for part, words in HEADWORDS.items():
        for word in words.split():
            antonym = wordnet.first_antonym(word, part)
            if antonym is None or not antonym.isalpha():
                raise DataError(f"WordNet has no antonym of one word for {word!r} ({part}): {antonym}")
            rows.append((word, antonym))
    return rows


def categories(wordnet: WordNet) -> list[tuple[str, str]]:
    """Each noun with its category, the categories taking turns.

    A category is the first noun sense of its name. Of a noun's senses, commonest first, the first that has a category
    above it counts; of several above it, the nearest.

    Raises:
        DataError: that is not the category under which the noun stands in :data:`CATEGORIES`.
    """
    offsets = {wordnet.index["n"][name][0]: name for name in CATEGORIES}
    rows = []
    for nouns in zip(*(words.split() for words in CATEGORIES.values()), strict=True):
        for noun, expected in zip(nouns, CATEGORIES, strict=True):
            above = [offsets[offset] for offset in wordnet.ancestors(noun) if offset in offsets]
            if above[:1] != [expected]:
                raise DataError(f"WordNet puts {noun!r} under {above[:1]}, not under {expected!r}")
            rows.append((noun, expected))
    return rows
