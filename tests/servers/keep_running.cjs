// dynalite ends when a client dies in the middle of a request, as the tests have clients do.
process.on("uncaughtException", (error) => console.error(error));
