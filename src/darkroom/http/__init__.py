"""HTTP: routes, sign-in, errors. A route reads the request, makes one call of a service, writes the answer."""
