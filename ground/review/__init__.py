"""Review: what people have decided about what was seen, who, when and why; nothing here decides by itself."""
