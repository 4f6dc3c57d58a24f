from datetime import UTC, date, datetime

import pytest

from recsys_assets.events.sources import MovieLens100K

FILES = {
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "196\t242\t3\t881250949\n186\t302\t4\t881250950\n22\t377\t5\t878887116\n",
    "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    '242\tToy Story\t1995\tAnimation Children\'s Comedy\n302\tSay "Aaah", The\t\tDrama\n',
    "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    "196\t17\tM\ttechnician\t85711\n186\t18\tF\tother\t94043\n22\t56\tM\twriter\t32067\n",
}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "recbole/dataset_example/ml-100k"
    folder.mkdir(parents=True)
    for kind, text in FILES.items():
        (folder / f"ml-100k.{kind}").write_text(text)
    return MovieLens100K(tmp_path)


def test_a_liked_film_is_a_purchase_and_another_a_view(source):
    rows = source.interactions([date(1997, 12, 4)])

    assert rows["event"].to_list() == ["view", "purchase"]
    assert rows["timestamp"][0] == datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC)


def test_films_have_a_text_and_genres(source):
    toy_story, untitled_year = source.items().to_pylist()

    assert toy_story["text"] == "Toy Story (1995), Animation, Children's, Comedy"
    assert toy_story["category_l2"] == "Animation"
    assert untitled_year["text"] == 'The Say "Aaah", Drama'


def test_users_have_age_bands(source):
    ages = {user["user_id"]: user["age"] for user in source.users().to_pylist()}

    assert ages == {"196": "under 18", "186": "18-24", "22": "56+"}
