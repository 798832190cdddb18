"""The results of an evaluation as one HTML page that needs nothing else: for a person, in a browser."""

from tubelet.evaluation.page.write import write_page

__all__ = ["write_page"]
