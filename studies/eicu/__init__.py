"""In-hospital mortality after intensive care at 174 American hospitals: the open demo of the eICU database."""
