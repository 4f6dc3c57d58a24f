import pytest

from recsys_assets.events.sources.complete_journey import readable


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("FRZN PIZZA", "Frozen Pizza"),
        ("BREAD:ITALIAN/FRENCH", "Bread, Italian/French"),
        ("CANDY - PACKAGED", "Candy, Packaged"),
        ("SNACK CAKE - MULTI PACK", "Snack Cake, Multi Pack"),
        ("CAN CATFD GOURMET/SUP PREM (GR", "Can Cat Food Gourmet/Super Premium"),
        ("CANDY BARS (SINGLES)(INCLUDING", "Candy Bars (Singles)"),
        ("MAKEUP AND TREATMENT", "Makeup and Treatment"),
        ("CHRISTMAS  SEASONAL", "Christmas Seasonal"),
        ("DRUG GM", "Drug & General Merchandise"),
        ("MISC. DAIRY", "Miscellaneous Dairy"),
        ("DVD 9.99", "DVD 9.99"),
    ],
)
def test_codes_become_words(code, words):
    assert readable(code) == words
