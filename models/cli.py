"""x"""

from cyclopts import App

app = App(name="models")
