"""Campaigns: many scenarios by many seeds over several processes, resumed after a kill, summed up."""
