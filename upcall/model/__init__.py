"""Pure data: what travels on the bus, lies in the store and is said over REST. Imports msgspec only."""
