"""How good the results are: pure functions on arrays, one file per kind of measure, and the runs that use them."""
