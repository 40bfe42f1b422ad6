"""What keeps a store well: copies, proof, restoring, erasing what is too old, holding what must stay."""
