"""Images that somebody has built for a checkout already: which they may be, and which of them is there."""
