"""A name that files and titles may have, of what this or that program takes for syntax."""

ODD = "a,b [c]; {d} {out} [red] :bomb: 'f' \"g\" %h $HOME $x$ #i &amp; <j> ~ é 雪"
