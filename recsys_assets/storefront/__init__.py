"""What a storefront speaks to over HTTP: slates out, events in."""
