"""The station's picture as a live feed of Cursor on Target, for TAK clients and servers."""
