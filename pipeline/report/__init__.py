"""What people look at: pictures, the viewer, pages."""
