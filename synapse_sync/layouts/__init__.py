"""How each UI lays out its folders: one module or table row a UI, all pure."""
