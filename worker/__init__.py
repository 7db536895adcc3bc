"""The machine room: what runs beside the viewer and answers the queue."""
