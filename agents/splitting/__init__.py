"""Split networks as environments know them: what cuts cost, how good they are, and how UEs share air and server."""
