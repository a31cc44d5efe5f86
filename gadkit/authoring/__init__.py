"""For plugin authors: new packages, and packages in and out of the environment that gadkit lives in."""
