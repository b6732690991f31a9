"""The attention chain: products of attention maps that share tokens (Eq. 2 to 7). Pure torch."""
