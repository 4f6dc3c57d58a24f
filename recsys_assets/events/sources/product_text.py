"""Product texts for Complete Journey, whose catalogue has codes instead of titles.

The codes are upper case, abbreviated for a till receipt and cut at 30 characters. A sentence
encoder and a shopper both read "Frozen Pizza" better than "FRZN PIZZA".
"""

import re

import polars as pl

_WORDS = {
    "ACCSS": "accessories", "BEERALEMALT": "beer, ale, malt", "BG": "bag", "BKD": "baked",
    "BKNG": "baking", "BN": "bean", "BNDGES": "bandages", "BRD": "bread", "BRKFST": "breakfast",
    "BTL": "bottle", "BTR": "butter", "CARB": "carbonated", "CATFD": "cat food",
    "CHIX": "chicken", "CHOC": "chocolate", "CHOCOL": "chocolate", "CHP": "chopped",
    "CKYS": "cookies", "CLEANG": "cleaning", "CND": "canned", "CNDLES": "candles",
    "CNDY": "candy", "CNTRL": "control", "COMBO": "combination", "CONC": "concentrate",
    "CRAN": "cranberry", "CRBNTD": "carbonated", "CRKR": "cracker", "CRMD": "creamed",
    "CRYSTL": "crystal", "DECOR": "decorations", "DEOD": "deodorant", "DNR": "dinner",
    "DNRS": "dinners", "DOGFD": "dog food", "DRNK": "drink", "DRNKNG": "drinking",
    "DRNKS": "drinks", "DRSNG": "dressing", "DSH": "dish", "ELECT": "electrical",
    "ELSTC": "elastic", "EXCP": "except", "FD": "food", "FEM": "feminine", "FLVR": "flavor",
    "FLVRD": "flavored", "FRZ": "frozen", "FRZN": "frozen", "GDS": "goods",
    "GM": "& general merchandise", "GRND": "ground", "HBC": "health and beauty",
    "HYGN": "hygiene", "INCL": "including", "IQF": "individually frozen", "JCE": "juice",
    "LIQ": "liquid", "LIQS": "liquids", "MACH": "machine", "MFG": "manufacturer",
    "MISC": "miscellaneous", "MIXS": "mixes", "MLK": "milk", "MLT": "multi",
    "MNERAL": "mineral", "MNRL": "mineral", "MULT": "multi", "MW": "microwave", "MX": "mix",
    "MXS": "mixes", "OCCAS": "occasion", "OJ": "orange juice", "PCKGD": "packaged",
    "PK": "pack", "PKG": "package", "PKGD": "packaged", "PKLD": "pickled", "PLSTC": "plastic",
    "PNCH": "punch", "PNT": "peanut", "PRD": "product", "PREM": "premium", "PREP": "prepared",
    "PROD": "produce", "PRPCK": "prepacked", "PRSLC": "presliced", "PWDR": "powder",
    "PWDRS": "powders", "REFRGRATD": "refrigerated", "REFRIG": "refrigerated", "REG": "regular",
    "RETL": "retail", "RTD": "ready to drink", "RTS": "ready to serve", "RW": "random weight",
    "SALD": "salad", "SAUS": "sausage", "SFT": "soft", "SGL": "single", "SLC": "sliced",
    "SNDWCH": "sandwich", "SNGL": "single", "SNKS": "snacks", "SPLY": "supply",
    "SPRD": "spread", "SRV": "serve", "SS": "single serve", "STK": "sticks",
    "SUBS": "substitute", "SUP": "super", "SUPRT": "support", "SV": "serve", "SW": "sweet",
    "SWT": "sweet", "SYRP": "syrup", "TISS": "tissue", "TORT": "tortilla", "TRSH": "trash",
    "VEG": "vegetable", "VEND": "vending", "W": "with", "WHL": "whole", "WHLSM": "wholesome",
    "WT": "weight", "WTR": "water",
}  # fmt: skip
_JOINING = {"AND", "FOR", "IN", "OF", "OR", "THE", "TO", "WITH"}
_CAPITALS = {"BBQ", "DVD", "NFL", "SPF", "TV", "USDA"}
_BRANDS = {"Private": "Store Brand", "National": "National Brand"}
_WORD = re.compile(r"([A-Z0-9']+)\.?(?![0-9])")


def readable(code: str) -> str:
    """A code of the catalogue in words: "FRZN PIZZA (INCLUDI" becomes "Frozen Pizza"."""
    if code.count("(") > code.count(")"):
        code = code[: code.rindex("(")]
    spelled = _WORD.sub(lambda match: _spell(match.group(1)), code.upper())
    spelled = re.sub(r"\s*:\s*|\s+-\s*|\s*-\s+|\)\(", ", ", spelled)
    spelled = re.sub(r"\s*&\s*", " & ", spelled)
    return re.sub(r"\s+", " ", spelled).strip(" ,-/&")


def product_text(products: pl.DataFrame) -> pl.Series:
    """One text for each row of the catalogue.

    Type, package size, category, department and kind of brand, without what is missing or said
    twice: "Potato Chips 9 oz, Bag Snacks, Grocery, National Brand".
    """
    codes = {
        code
        for column in ("product_type", "product_category", "department")
        for code in products[column].drop_nulls().unique()
    }
    words = {code: readable(code) for code in codes}
    return pl.Series(
        "text",
        [
            _sentence(words, row)
            for row in products.select(
                "product_type", "package_size", "product_category", "department", "brand"
            ).iter_rows()
        ],
        dtype=pl.String,
    )


def _spell(word: str) -> str:
    return " ".join(_cased(part) for part in _WORDS.get(word, word).upper().split(" "))


def _cased(word: str) -> str:
    if word in _CAPITALS:
        return word
    return word.lower() if word in _JOINING else word[:1] + word[1:].lower()


def _sentence(words: dict[str, str], row: tuple[str | None, ...]) -> str:
    kind, size, category, department, brand = row
    parts = [words[code] for code in (kind, category, department) if code]
    parts = list(dict.fromkeys(part for part in parts if part))
    if parts and size:
        parts[0] = f"{parts[0]} {' '.join(size.lower().split())}"
    if brand:
        parts.append(_BRANDS.get(brand, brand))
    return ", ".join(parts)
