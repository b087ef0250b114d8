"""An emulator of the cloud application: its contract over real HTTP, for tests, demos and the cloud's own developers.

`app.build` makes the application, `serve.run` runs it. Without capabilities it answers as the deployed cloud does; each
optional one is switched on by name. What is to go wrong is armed through the control routes (`control.py`), and what
really happened to the folders stands in the effect log (`journal.py`).
"""
