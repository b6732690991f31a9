"""A page in the browser with results: mesh, tracks and cameras over time; from files, bags, or a node that runs."""
