"""What the HTML pages of gadkit share: one file each, without anything from elsewhere."""
