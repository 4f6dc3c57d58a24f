"""A recorded shop that lives again: its files arrive day by day, on a clock that is moved.

`recording.py` holds what happened, `catalogue.py` what a day's catalogue says, `deliveries.py`
which file arrives when. `clock.py` moves the time of all processes, `shop.py` runs them, `life.py`
goes through the days, and `scratch.py` computes everything anew at the end and compares.
"""
