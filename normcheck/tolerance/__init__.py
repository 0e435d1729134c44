"""The tolerance that sound code needs, and what a given one lets through: for those who must keep ``assert_close``."""
